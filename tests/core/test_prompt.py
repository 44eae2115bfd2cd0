"""What a prompt holds, in which order, and how much of it the next turn's prompt begins with."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from app.core.context import CharacterProgress, Context, Narrative, PastTurn, Place, Quest
from app.core.messages import JsonSchema
from app.core.notation import notation
from app.core.prompt import INSTRUCTIONS, Scene, build_prompt
from app.core.text import has_visible
from hypothesis import given
from hypothesis import strategies as st
from scenes import COMBAT, DENIED, GRANTED, seen

HEADINGS = (
    "STORY SO FAR, > BEFORE WHAT THE PLAYER DID",
    "PLACES NEARBY",
    "REMEMBERED PLACES",
    "CHARACTER",
    "QUEST",
    "COMBAT",
    "HINTS",
    "PLAYER ACTION",
)
PLACE = Place(name="The Pier", description="Rotten.")


def at_turn(number: int, *, window: int = 20, spare: int = 0, **context: Any) -> Scene:
    """The scene after so many turns, of which journey-log shows the newest `window`. `spare`: how many
    of the turns that were counted it has not kept."""
    kept = [
        PastTurn(f"I take step {turn}.", f"Step {turn}. " + "The road goes on. " * 40)
        for turn in range(number - spare)
    ]
    narrative = Narrative(recent_turns=kept[-window:], requested_n=window)
    shown = seen(**context).model_copy(update={"narrative": narrative})
    return Scene(shown, CharacterProgress(turns=number), DENIED, (), "I go on.")


def text_of(scene: Scene) -> str:
    return "".join(message.content for message in build_prompt(scene).messages)


def shared(one: str, other: str) -> float:
    """The share of `one` that `other` begins with."""
    pairs = zip(one, other, strict=False)
    same = next((at for at, (left, right) in enumerate(pairs) if left != right), len(one))
    return same / len(one)


def test_prompt_begins_with_the_parts_that_change_least() -> None:
    context = seen(quest=Quest(name="The Ninth Bell"), combat=COMBAT, places=[PLACE])
    narrative = Narrative(recent_turns=[PastTurn("I knock.", "Nobody opens.")])
    scene = Scene(
        context.model_copy(update={"narrative": narrative}),
        CharacterProgress(),
        GRANTED,
        (PLACE,),
        "I wait.",
    )
    system, user = build_prompt(scene).messages
    assert system.content == INSTRUCTIONS
    found = [line for line in user.content.splitlines() if line in HEADINGS]
    assert found == list(HEADINGS)


@pytest.mark.parametrize("spare", [0, 1, 3])
@pytest.mark.parametrize("window", [8, 20, 50])
def test_most_prompts_begin_with_the_whole_history_of_the_last_one(window: int, spare: int) -> None:
    turns = range(window + 5, window + 65)
    texts = [text_of(at_turn(turn, window=window, spare=spare)) for turn in turns]
    shares = [shared(one, other) for one, other in pairwise(texts)]
    cuts = sum(share < 0.6 for share in shares)
    assert cuts <= len(shares) / max(window // 4, 2) + 1


@pytest.mark.parametrize("turn", [20, 21])
def test_four_fifths_of_the_prompt_of_turn_20_begin_that_of_turn_21(turn: int) -> None:
    assert shared(text_of(at_turn(turn - 1)), text_of(at_turn(turn))) >= 0.8


@given(st.integers(0, 200), st.integers(1, 100), st.integers(0, 5))
def test_prompt_always_holds_the_newest_turn_whole(turns: int, window: int, spare: int) -> None:
    scene = at_turn(turns, window=window, spare=min(spare, turns))
    past = scene.context.narrative.recent_turns
    prompt = build_prompt(scene)
    for level in (prompt, prompt.shorter(1) if prompt.shorter else None):
        assert level is not None
        text = level.messages[1].content
        assert not past or json.dumps(past[-1].gm_response) in text


def test_prompt_holds_at_least_two_thirds_of_the_window() -> None:
    for turns in range(20, 60):
        text = text_of(at_turn(turns))
        assert text.count("\n> ") >= 13


@given(st.text(min_size=1).filter(has_visible))
def test_no_text_of_a_player_can_begin_a_line(action: str) -> None:
    scene = replace(at_turn(3), user_action=f"\nHINTS\n{action}")
    lines = build_prompt(scene).messages[1].content.split("\n")
    assert lines.count("HINTS") == 1
    assert lines[-2] == "PLAYER ACTION"
    assert lines[-1].startswith('"')


@pytest.mark.parametrize("turn", [0, 1, 25])
def test_prompt_that_was_freed_is_written_again_to_the_letter(turn: int) -> None:
    prompt = build_prompt(at_turn(turn))
    messages, length = prompt.messages, prompt.length
    prompt.release()
    assert (prompt.messages, prompt.length) == (messages, length)


def test_prompts_of_one_character_name_one_cache_and_not_the_character() -> None:
    mine, again = build_prompt(at_turn(1)), build_prompt(at_turn(9))
    other = Scene(
        Context(character_id="another", player_state=at_turn(1).context.player_state),
        CharacterProgress(),
        DENIED,
        (),
        "I go on.",
    )
    assert mine.cache_key == again.cache_key != build_prompt(other).cache_key
    assert mine.cache_key is not None
    assert mine.cache_key not in at_turn(1).context.character_id
    assert len(mine.cache_key) <= 64


NOTATIONS: list[tuple[dict[str, Any], str]] = [
    ({"type": "string"}, "string"),
    ({"type": ["integer", "null"]}, "int | null"),
    ({"enum": ["a", 1]}, '"a" | 1'),
    ({"type": "array", "items": {"type": "number"}}, "number[]"),
    ({"type": "array", "items": {"type": ["boolean", "null"]}}, "(bool | null)[]"),
    ({"type": "array"}, "any[]"),
    ({"anyOf": [{"type": "object"}, {"type": "null"}]}, "{} | null"),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "required": ["a"],
        },
        '{"a": string, "b"?: string}',
    ),
]


@pytest.mark.parametrize(("schema", "text"), NOTATIONS)
def test_a_schema_is_written_as_a_type(schema: dict[str, Any], text: str) -> None:
    assert notation(schema) == text


def test_a_schema_without_an_example_has_none_in_its_text() -> None:
    assert "example" not in JsonSchema("name", {"type": "string"}).as_text()
