"""Outcome documents as models write them, cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from app.core.text import has_visible
from hypothesis import strategies as st

FULL_INTENTS = {
    "quest_intent": {"action": "none", "quest_title": 'A "narrative": \\ trap'},
    "combat_intent": None,
    "poi_intent": {"action": "create", "name": "narrative", "reference_tags": ["a", "}"]},
    "meta": {"player_mood": "curious"},
}

characters = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from('"\\/\b\f\n\r\t{}[]:,<>`\u2028\ufeff\U0001f525é'),
)
narratives = st.text(characters, min_size=1, max_size=40).filter(has_visible)


@st.composite
def _spelled(draw: st.DrawFn, character: str) -> str:
    """One character as JSON may write it inside a string."""
    ways = [json.dumps(character)[1:-1]]
    if character not in '"\\':
        ways.append(character)  # raw line breaks too, as careless models write them
    units = character.encode("utf-16-be").hex()
    escaped = [f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)]
    ways += ["".join(escaped), "".join(escaped).upper().replace("\\U", "\\u")]
    if character == "/":
        ways.append("\\/")
    return draw(st.sampled_from(ways))


lone_halves = st.sampled_from(["\\ud83d", "\\uDBFF", "\\udd25", "\\ud83d\\ud83d\\udd25"])


@st.composite
def json_strings(draw: st.DrawFn, text: st.SearchStrategy[str] = narratives) -> str:
    parts = [draw(_spelled(character)) for character in draw(text)]
    for at in draw(st.lists(st.integers(0, len(parts)), max_size=2)):
        parts.insert(at, draw(lone_halves))
    return '"' + "".join(parts) + '"'


@st.composite
def keys(draw: st.DrawFn, name: str) -> str:
    return '"' + "".join(draw(_spelled(character)) for character in name) + '"'


json_values = st.recursive(
    st.one_of(json_strings(), st.sampled_from(["null", "true", "-1.5e3", "NaN", "0"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda rows: f"[{','.join(rows)}]"),
        st.lists(inner, max_size=2).map(
            lambda rows: (
                "{" + ",".join(f'"narrative{n or ""}":{r}' for n, r in enumerate(rows)) + "}"
            )
        ),
    ),
    max_leaves=5,
)


@st.composite
def outcomes(draw: st.DrawFn) -> str:
    """A valid document: its fields in any order, strangers between them."""
    fields = [
        draw(keys("narrative")) + draw(blanks) + ":" + draw(blanks) + draw(json_strings()),
        draw(keys("intents")) + ":" + draw(st.sampled_from(["{}", json.dumps(FULL_INTENTS)])),
    ]
    fields += [
        f'"note{n}":{value}' for n, value in enumerate(draw(st.lists(json_values, max_size=2)))
    ]
    return "{" + ",".join(draw(st.permutations(fields))) + draw(blanks) + "}"


blanks = st.text(st.sampled_from(" \t\r\n"), max_size=3)
DRAFT = '{"narrative": "a draft", "intents": {"quest_intent": {"action": "abandon"}}}'
_inside = st.lists(
    st.sampled_from(
        [
            "Hm.",
            DRAFT,
            f"plan: {DRAFT} or",
            "{x}",
            "{",
            "a < b > c",
            '\U0001f525 \\ "',
            "</thin <b>",
            "[1] ",
        ]
    ),
    max_size=3,
).map(" ".join)

THOUGHT_MARKS = [
    ("<think>", "</think>"),
    ("<THINK>", "</Think>"),
    ("<seed:think>", "</seed:think>"),
    ('<think effort="high">', "</think>"),
    ("< thinking >", "</ thinking >"),
    ("<reflection>", "</reflection>"),
    ("<inner-monologue>", "</inner-monologue>"),
    ("<thought_process>", "</thought_process>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("\u3010reasoning\u3011", "\u3010/reasoning\u3011"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final <|constrain|>json<|message|>"),
    ("<scratchpad>", "</scratchpad>"),
]


@st.composite
def reasoning(draw: st.DrawFn) -> str:
    """Reasoning with a known begin and its matching end."""
    begin, end = draw(st.sampled_from(THOUGHT_MARKS))
    inside = draw(_inside)
    if draw(st.booleans()) and "channel" not in begin:
        inside += begin + draw(_inside) + end + draw(_inside)
    return begin + inside + end


HARMLESS = [
    "",
    "```json\n",
    "```\n",
    "\ufeff",
    "\xa0",
    "<think></think>",
    "<answer>",
    "<|im_start|>assistant\n",
]
PROSE = [
    "Sure! Here it is:\n",
    "a < b > c",
    "<",
    "<thin",
    "{x} ",
    "The plan is {simple}.",
    "json\n",
]
TAILS = [
    "",
    "\n```",
    "\nI hope you like it {",
    "\n\n\n",
    "</s>",
    "<|im_end|>",
    "<|return|>",
]


@st.composite
def answers(draw: st.DrawFn) -> str:
    """A document that players may read while it is written, with what models put around it."""
    before = draw(st.lists(st.one_of(st.sampled_from(HARMLESS), blanks, reasoning()), max_size=4))
    after = draw(st.sampled_from([*TAILS, '{"narrative": "again"}']))
    return "".join(before) + draw(outcomes()) + after


@st.composite
def held_answers(draw: st.DrawFn) -> str:
    """A document behind something that only its end can explain."""
    marks = [end for _, end in THOUGHT_MARKS]
    unopened = st.tuples(_inside, st.sampled_from([*marks, "</my_plan>", "</hmm>"])).map("".join)
    before = draw(st.one_of(st.sampled_from(PROSE), unopened.map(lambda said: f"So, {said}")))
    return before + draw(outcomes()) + draw(st.sampled_from(TAILS))


@st.composite
def cut(draw: st.DrawFn, text: Any) -> list[str]:
    """The text in pieces; sometimes each character alone."""
    if draw(st.booleans()):
        return list(text)
    return cut_at(text, draw(st.lists(st.integers(0, len(text)), max_size=12)))


def cut_at(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]
