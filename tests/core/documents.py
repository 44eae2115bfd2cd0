"""Outcome documents as models write them, cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

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
narratives = st.text(characters, min_size=1, max_size=40)


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
_inside = st.sampled_from(
    [
        "",
        "Hm.",
        '{"narrative": "a draft", "intents": {}}',
        "<b> </thin <think> {",
        '\U0001f525 \\ "',
    ]
)


@st.composite
def reasoning(draw: st.DrawFn) -> str:
    tag = draw(
        st.sampled_from(["think", "THINK", "Thinking", "reasoning", "thought", "reflection"])
    )
    return f"<{tag}>{draw(_inside)}</{draw(st.sampled_from([tag, tag.swapcase()]))}>"


_prose = st.sampled_from(
    ["", "Sure! Here it is:\n", "a < b > c", "<", "<thin", "\xa0", "```json\n", "\ufeff"]
)


@st.composite
def answers(draw: st.DrawFn) -> str:
    """A document with what models put around it."""
    before = draw(st.lists(st.one_of(_prose, blanks, reasoning()), max_size=4))
    after = draw(st.sampled_from(["", "\n```", "\nI hope you like it {", '{"narrative": "again"}']))
    return "".join(before) + draw(outcomes()) + after


@st.composite
def cut(draw: st.DrawFn, text: Any) -> list[str]:
    """The text in pieces; sometimes each character alone."""
    if draw(st.booleans()):
        return list(text)
    return cut_at(text, draw(st.lists(st.integers(0, len(text)), max_size=12)))


def cut_at(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]
