"""Which request is a player's action: each rule, as a table."""

from __future__ import annotations

from typing import Any

import pytest
from app.errors import DungeonMasterError, HistoryIsWritten, NoNewAction, NotATurn
from app.frontends.openai.action import (
    Asked,
    NewTurn,
    SameTurn,
    before_mark,
    continues,
    decide,
)
from app.frontends.openai.background import answer_task
from app.frontends.openai.creation import Sheet, question, sheet_from
from app.frontends.past import PastTurn

NOW = 1_790_000_000.0
CAVE, DOOR, HALL = (
    "The cave is dark and something breathes in it.",
    "The door opens on a stair that goes down.",
    "A hall with nine chairs, and one of them is warm.",
)


def turn(number: int, action: str | None, narrative: str = "", **fields: Any) -> PastTurn:
    usual: dict[str, Any] = {"status": "complete", "began": NOW - 600}
    return PastTurn(f"turn-{number}", action, narrative, **(usual | fields))


ONE, TWO, THREE = turn(1, "I enter.", CAVE), turn(2, "I open it.", DOOR), turn(3, "I sit.", HALL)
STORY = (ONE, TWO, THREE)
NEW = "a new turn"


def decided(asked: Asked, *turns: PastTurn) -> str:
    """`turns`: oldest first."""
    try:
        found = decide(asked, turns[::-1], NOW)
    except DungeonMasterError as error:
        return error.type
    return NEW if isinstance(found, NewTurn) else found.turn_id


ERROR, CANCELLED, RUNNING = ({"status": status} for status in ("error", "cancelled", "running"))
FIRST = {"kept": {"before": before_mark(None)}}
RECENT = {**FIRST, "began": NOW - 59}


@pytest.mark.parametrize(
    ("asked", "turns", "expected"),
    [
        # 2: the last message is the player's
        (Asked(None), STORY, "no_new_action"),
        # 3: a key decides
        (Asked("I sit.", DOOR, key="mine"), STORY, NEW),
        # 4: the running turn is joined
        (Asked("I sit.", None), (ONE, turn(2, "I sit.", "A ha", **RUNNING)), "turn-2"),
        (Asked("I sit.", None), (ONE, turn(2, "I sit.", status="queued")), "turn-2"),
        (Asked("I stand.", CAVE), (ONE, turn(2, "I sit.", "", **RUNNING)), NEW),
        # 5: behind the newest answer, whatever is said
        (Asked("I rest.", HALL), STORY, NEW),
        (Asked("I sit.", HALL), STORY, NEW),
        (Asked("I rest.", HALL[:20]), STORY, NEW),
        (Asked("I rest.", f"A greeting.\n\n{HALL}\n\nTo play on …"), STORY, NEW),
        (Asked("I rest.", HALL.replace(" ", "\n ")), STORY, NEW),
        # 5: what failed since counts for nothing
        (Asked("I sit.", DOOR), (ONE, TWO, turn(3, "I sit.", "", **ERROR)), NEW),
        (Asked("I run.", DOOR), (ONE, TWO, turn(3, "I sit.", HALL[:5], **CANCELLED)), NEW),
        (Asked("I rest.", HALL[:30]), (ONE, TWO, turn(3, "I sit.", HALL, **CANCELLED)), NEW),
        # 5: the same words behind the same answer are a repeat, other words an edit of the past
        (Asked("I sit.", DOOR), STORY, "turn-3"),
        (Asked("I sit.", DOOR), (ONE, TWO, turn(4, "I go.", "", **ERROR), THREE), "turn-3"),
        (Asked("I flee.", DOOR), STORY, "history_is_written"),
        (Asked("I open it.", CAVE), STORY, "turn-2"),
        (Asked("I sit.", CAVE), STORY, "history_is_written"),
        # 5: the newest of several turns with the same text
        (Asked("I enter.", CAVE), (ONE, TWO, turn(3, "I go back.", CAVE)), NEW),
        # 5: shorter texts must be equal
        (Asked("Again.", "It is dark."), (turn(1, "I wait.", "It is dark."),), NEW),
        (Asked("I wait.", "dark"), (turn(1, "I wait.", "It is dark.", **RECENT),), NEW),
        # an opening is behind no action
        (Asked("I sit.", CAVE), (turn(1, None, CAVE),), NEW),
        (Asked("", None), (turn(1, None, CAVE, **RECENT),), NEW),
        # 6: a new chat
        (Asked("I sit."), (), NEW),
        (Asked("I sit."), STORY, NEW),
        (Asked("I enter.", "Welcome, stranger, to the inn."), (ONE,), NEW),
        (Asked("I enter."), (turn(1, "I enter.", CAVE, **RECENT),), "turn-1"),
        (Asked("I enter."), (turn(1, "I enter.", CAVE, **FIRST),), NEW),
        (Asked("I leave."), (turn(1, "I enter.", CAVE, **RECENT),), NEW),
        (Asked("I enter.", "Hello."), (turn(1, "I enter.", CAVE, **RECENT),), NEW),
        (Asked("I enter."), (turn(1, "I enter.", "", **{**RECENT, **ERROR}),), NEW),
        (Asked("I enter.", retry=1), (turn(1, "I enter.", CAVE, **FIRST),), "turn-1"),
        (Asked("I enter.", retry=0), (turn(1, "I enter.", CAVE, **RECENT),), NEW),
    ],
)
def test_conversation_determines_the_request(
    asked: Asked, turns: tuple[PastTurn, ...], expected: str
) -> None:
    assert decided(asked, *turns) == expected


@pytest.mark.parametrize(
    ("asked", "kept", "same"),
    [("a", "a", True), ("a", "b", False), ("a", None, False), (None, "a", False)],
)
def test_chats_are_distinguished_by_their_ids(asked: str, kept: str, same: bool) -> None:
    began = {"before": before_mark(None), "chat": kept}
    past = turn(1, "I enter.", CAVE, kept=began, began=NOW - 1)
    long_ago = past._replace(began=NOW - 9_999)
    for one in (past, long_ago):
        assert (decided(Asked("I enter.", chat=asked), one) == "turn-1") is same


@pytest.mark.parametrize(
    ("asked", "background"),
    [
        (Asked("x"), False),
        (Asked("x", tasks=True), True),
        (Asked("x", tasks=True, key="k"), True),
        (Asked("x", streamed=False), True),
        (Asked("x", streamed=False, key="k"), False),
        (Asked("x", streamed=False, marked=True), False),
    ],
)
def test_unmarked_request_without_streaming_is_background(asked: Asked, background: bool) -> None:
    assert asked.is_background is background


def test_a_new_turn_has_a_key_of_its_place_in_the_story() -> None:
    keys = [
        decide(Asked("I rest.", HALL), STORY[::-1], NOW),
        decide(Asked("I sleep.", HALL), STORY[::-1], NOW),
        decide(Asked("I rest.", None), (), NOW),
    ]
    assert len({found.key for found in keys if isinstance(found, NewTurn)}) == 3
    assert decide(Asked("I rest.", HALL), STORY[::-1], NOW + 1) == keys[0]
    assert decide(Asked("I rest.", HALL, key="mine"), (), NOW) == NewTurn("mine")


def test_only_turns_that_the_text_in_front_may_come_from_are_needed() -> None:
    assert [continues(one, DOOR) for one in STORY] == [False, True, False]
    assert not continues(turn(1, "x", ""), "")
    assert SameTurn("turn-3") == decide(Asked("I sit.", DOOR), (THREE, TWO), NOW)
    with pytest.raises(HistoryIsWritten):
        decide(Asked("I go.", DOOR), (THREE, TWO), NOW)
    with pytest.raises(NoNewAction):
        decide(Asked(None), (), NOW)


# -- background -----------------------------------------------------------------------------------

TITLE = (
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
    "### Chat History:\n<chat_history>\nUSER: I enter\n the cave.\nASSISTANT: Dark.\n</chat_history>"
)


@pytest.mark.parametrize(
    ("prompt", "content"),
    [
        (TITLE, '{"title":"I enter the cave."}'),
        ("### Task:\nGenerate a title.", '{"title":"I sit."}'),
        (
            "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might ask.",
            '{"follow_ups":["Rest","Flee"]}',
        ),
        ("### Task:\nGenerate 1-3 broad tags categorizing the main themes.", '{"tags":[]}'),
    ],
)
def test_background_tasks_are_answered_without_a_model(prompt: str, content: str) -> None:
    assert answer_task(prompt, False, "I sit.", ("Rest", "Flee")) == content


@pytest.mark.parametrize(
    ("prompt", "streamed"),
    [
        ("Hi", False),
        ("### Task:\nWrite search queries.", False),
        ("### Task:\n" + "x" * 200 + " title", False),
        (f"Please: {TITLE}", False),
        (TITLE, True),
        ("", False),
    ],
)
def test_anything_else_is_not_a_turn(prompt: str, streamed: bool) -> None:
    with pytest.raises(NotATurn, match="Only a streamed request plays a turn"):
        answer_task(prompt, streamed, "I sit.", ())


@pytest.mark.parametrize(("prompt", "streamed"), [("Hi", False), ("Hi", True), (TITLE, True)])
def test_the_model_of_tasks_says_that_it_plays_no_turns(prompt: str, streamed: bool) -> None:
    with pytest.raises(NotATurn, match="choose the model of a character"):
        answer_task(prompt, streamed, "I sit.", (), True)


def test_a_title_is_short_and_never_empty() -> None:
    long = answer_task("### Task:\ntitle\nUSER: " + "word " * 5_000, False, "", ())
    assert len(long) < 90
    assert answer_task("### Task: title", False, "", ()) == '{"title":"Dungeon Master"}'


# -- a character from a chat ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["Maren Ashdown, human, ranger"], Sheet("Maren Ashdown", "human", "ranger", "", 0)),
        (
            ["Maren; human; ranger; a storm, and a knock"],
            Sheet("Maren", "human", "ranger", "a storm, and a knock", 0),
        ),
        (["I am Maren, a human ranger."], Sheet("Maren", "human", "ranger", "", 0)),
        (["The Grey, an old elf bard"], Sheet("The Grey", "old elf", "bard", "", 0)),
        (["Maren, an elf"], Sheet("Maren", "elf")),
        (["Name: Maren\nrace: elf\n**Class:** bard"], Sheet("Maren", "elf", "bard", "", 0)),
        (["Hi", "Maren", "elf", "bard", "I go."], Sheet("Maren", "elf", "bard", "", 3)),
        (["Who is there?", "Maren, elf, bard"], Sheet("Maren", "elf", "bard", "", 1)),
        (["Class: bard", "Maren, elf"], Sheet("Maren", "elf", "bard", "", 1)),
        (["Maren, elf"], Sheet("Maren", "elf")),
        (["x" * 65], Sheet()),
        (["\u200b, ,", "Maren"], Sheet("Maren")),
        (["Maren"], Sheet()),
        ([], Sheet()),
        (["Name: Maren, race: elf; class = bard"], Sheet("Maren", "elf", "bard", "", 0)),
        (["name: Maren, of the Vale, class: bard"], Sheet("Maren, of the Vale", "", "bard")),
        (["Maren / elf / bard"], Sheet("Maren", "elf", "bard", "", 0)),
        (["Jean-Luc - elf - bard"], Sheet("Jean-Luc", "elf", "bard", "", 0)),
        (["My name is Maren. I am a human ranger."], Sheet("Maren", "human", "ranger", "", 0)),
        (["Hi! I am Maren, a human ranger"], Sheet("Maren", "human", "ranger", "", 0)),
        (["Hello there, how are you"], Sheet()),
        (["I would like to play a dwarf named Bob, please"], Sheet()),
        (["Hi", "Hilda", "elf", "bard"], Sheet("Hilda", "elf", "bard", "", 3)),
    ],
)
def test_sheet_is_filled_from_the_player_s_messages(messages: list[str], expected: Sheet) -> None:
    assert sheet_from(messages) == expected


def test_missing_details_are_asked_for() -> None:
    assert question(["race", "class"]) == "And your race and class?"
    assert "name, race and class" in question(["name", "race", "class"])
