"""Answers of arbitrary text: what is shown is what is read, and the cost stays in proportion."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

import pytest
from app.core.answer import _direct, unwrapped
from app.core.lenient_json import NotJson, parse_json
from app.core.narrative import NarrativeBuffer
from app.core.outcome import InvalidOutcome, parse_outcome
from app.core.prose import SpoiledNarrative
from documents import DRAFT, THOUGHT_MARKS, answers, cut
from hypothesis import given, settings
from hypothesis import strategies as st

MARKS = sorted({mark for pair in THOUGHT_MARKS for mark in pair})
FRAGMENTS = [
    *"{}[]\":,\\'`<>«»|/#\n -1",
    *(
        "\\u",
        "\\ud83d",
        "\\n",
        "\\u003cthink\\u003e",
        "```json\n",
        "//",
        "/*",
        "*/",
        "\x00",
        "\u200b",
    ),
    *(
        "narrative",
        '"narrative"',
        '"intents"',
        '": "',
        '", "intents": {',
        "}}",
        "{}",
        "null",
        "True",
    ),
    *("assistantfinal", "analysis", "assistant", "<|im_start|>", "<|channel", "<|message|>"),
    *("think", "[plan", " hard", " a=b", "<i>", "[1]", "<s ", '<answer type="json">', "[reason x]"),
    *('{"narrative": "', '{"narrative": "F", "intents": {}}', '{"outcome":', "{'narrative': '"),
    *(DRAFT, *MARKS, "é", "\U0001f525"),
]
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)
texts = st.one_of(
    fragments,
    fragments.map(lambda text: '{"narrative": "' + text),
    st.tuples(fragments, answers()).map("".join),
    st.binary(max_size=200).map(lambda raw: raw.decode(errors="replace")),
    st.binary(max_size=60).map(lambda raw: '{"narrative": "' + raw.decode(errors="replace")),
)
often = settings(max_examples=max(150, settings.default.max_examples if settings.default else 0))


def shown(pieces: list[str]) -> str | None:
    """What players see; None where it is spoiled, and the turn fails."""
    buffer = NarrativeBuffer()
    try:
        return "".join([buffer.feed(piece) for piece in pieces])
    except SpoiledNarrative:
        return None


def read(text: str) -> str | None:
    try:
        return parse_outcome(text).narrative
    except InvalidOutcome:
        return None


def broken_before_a_whole_one(text: str) -> bool:
    """Whether the document that is shown while it is written turns out to be none, so that a later one
    is the answer. Such a turn fails, since its narrative has changed, and nothing is saved."""
    begin = _direct(text)
    if begin is None:
        return False
    try:
        return unwrapped(parse_json(text, begin).value) is None
    except NotJson:
        return True


@often
@given(texts, st.data())
def test_text_shown_of_any_answer_is_a_prefix_of_its_narrative(
    text: str, data: st.DataObject
) -> None:
    seen, narrative = shown(data.draw(cut(text))), read(text)
    if seen and narrative is not None and not narrative.startswith(seen):
        assert broken_before_a_whole_one(text)


@often
@given(texts, st.data())
def test_text_shown_of_any_answer_does_not_depend_on_its_cuts(
    text: str, data: st.DataObject
) -> None:
    assert shown(data.draw(cut(text))) == shown([text])


BRACKETED = [
    "[think hard] The door opens.",
    "[reason unknown] He dies.",
    "\u3010plan b\u3011 The door opens.",
    "«thought dead», she reads.",
    "<b class=think> The door opens.",
]


@pytest.mark.parametrize("prose", BRACKETED)
def test_several_words_in_brackets_are_prose(prose: str) -> None:
    text = f'{{"narrative": "{prose}", "intents": {{}}}}'
    assert shown(list(text)) == shown([text]) == read(text) == prose


@pytest.mark.parametrize("mark", ["<s ", "[s ", "<b class=", "« a "])
def test_reasoning_behind_half_a_tag_is_left_out(mark: str) -> None:
    text = f'{{"narrative": "{mark}\u25c1think\u25b7a draft\u25c1/think\u25b7.", "intents": {{}}}}'
    assert shown(list(text)) == shown([text]) == read(text) == f"{mark}."


# -- cost -----------------------------------------------------------------------------------------

PREFIXES = ["", '{"narrative": "', '{"narrative": "x", "intents": {"a": "', "prose {"]
UNITS = [
    *("{", "<", '"', "\\", "[", "`", "#\n", "'", '", "', '{"a":', "<think>", "</think>", "a {b "),
    *(
        "/*",
        "<|channel|>analysis ",
        "assistantfinal",
        '"a": ',
        "<think a=",
        '{"narrative": "x" ',
        DRAFT,
    ),
]


def feed(text: str) -> None:
    shown([text[at : at + 400] for at in range(0, len(text), 400)])


def parse(text: str) -> None:
    read(text)


def calls(work: Callable[[str], None], text: str) -> int:
    """Python and C calls that the work takes."""
    made = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work(text)
    finally:
        sys.setprofile(before)
    return made


def seconds(work: Callable[[str], None], text: str) -> float:
    """Of this thread's processor time."""
    gc.disable()
    began = time.thread_time()
    try:
        work(text)
        return time.thread_time() - began
    finally:
        gc.enable()


@pytest.mark.parametrize("work", [feed, parse])
@pytest.mark.parametrize("unit", UNITS)
def test_a_hostile_answer_of_twice_the_length_takes_twice_the_calls(
    unit: str, work: Callable[[str], None]
) -> None:
    for prefix in PREFIXES:
        short, long = (prefix + unit * (size // len(unit)) for size in (3_000, 6_000))
        assert calls(work, long) <= 2.3 * calls(work, short) + 500


@pytest.mark.parametrize("work", [feed, parse])
@pytest.mark.parametrize("unit", ["{", '"', '{"a":', "<think>", "/*", "a {b ", "</think>"])
def test_a_hostile_answer_of_400_kb_is_scanned_in_proportion(
    unit: str, work: Callable[[str], None]
) -> None:
    """What goes on inside one call is seen in time alone. Four times the length would take sixteen times
    as long if it were its square; ten times is allowed, at one of three tries."""
    short, long = (unit * (size // len(unit)) for size in (100_000, 400_000))
    assert any(seconds(work, long) < 10 * seconds(work, short) + 0.05 for _ in range(3))
