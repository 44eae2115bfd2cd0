"""Texts that quote the narrative by their ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from app.core.outcome import parse_intents, parse_outcome
from app.core.quotation import LEAST_HEAD, LEAST_TAIL, MAX_QUOTED, quoted_whole
from hypothesis import assume, given
from hypothesis import strategies as st

STORY = """You nearly walk past a puppet stage with its curtain half drawn. An old fire has been at it,
and nothing has grown on the soot since. “Who’s there?” says the dark.\n\nNothing has grown here."""
QUOTES = {
    "puppet stage with … at it": "puppet stage with its curtain half drawn. An old fire has been at it",
    "A puppet stage…half drawn.": "A puppet stage with its curtain half drawn.",
    "a puppet stage ... soot since.": "a puppet stage with its curtain half drawn. An old fire has been "
    "at it, and nothing has grown on the soot since.",
    "nothing has grown…since": "nothing has grown on the soot since",
    "Who’s there … the dark": "Who’s there?” says the dark",
    "“Who’s there…here.": "“Who’s there?” says the dark. Nothing has grown here.",
}
AS_WRITTEN = [
    "",
    "…",
    "A puppet stage",
    "A puppet stage…",
    "…grown here.",
    "A puppet…drawn…since.",
    "A wooden stage…half drawn.",
    "puppet stage … the moon",
    "uppet stage … at it",
    "puppet stage … fir",
    "puppet s … at it",
    "the dark.…puppet stage",
    "You…here.",
    "puppet stage … it",
    "PUPPET STAGE … at it",
    "puppet (stage … at it",
]


@pytest.mark.parametrize(("text", "whole"), QUOTES.items())
def test_a_quotation_by_its_ends_is_the_words_of_the_narrative(text: str, whole: str) -> None:
    value = [{"enemies": [{"description": text}]}, 1, None]
    assert quoted_whole(value, STORY) == [{"enemies": [{"description": whole}]}, 1, None]


@pytest.mark.parametrize("name", ["quest_title", "offer", "create", "name", "minor_location"])
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [text]])
def test_dots_in_a_name_are_part_of_it(name: str, wrap: Callable[[str], Any]) -> None:
    part = {name: wrap("A puppet stage … half drawn")}
    assert quoted_whole(part, STORY) == part


@pytest.mark.parametrize("story", ["- - - - - ", "aaaaaaaa ", "aaaaaaaa zzzz"])
def test_a_narrative_that_repeats_itself_is_searched_once(story: str) -> None:
    """Each end stands in it thousands of times, and never near enough to the other one."""
    head = story.replace("zzzz", "").strip()
    far = f"{story * 3_000}{'b' * MAX_QUOTED} yyyy"
    for quote in (f"{head} … xxxx", f"{head} … yyyy"):
        assert quoted_whole(quote, far) == quote


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_any_other_text_stays_as_it_is_written(text: str) -> None:
    assert quoted_whole(text, STORY) == text


def test_a_quotation_has_a_greatest_length() -> None:
    whole = f"It begins here {'x' * (MAX_QUOTED - 2)} and ends."
    assert quoted_whole("It begins here…and ends.", whole) == whole
    longer = whole.replace("x", "xx", 1)
    assert quoted_whole("It begins here…and ends.", longer) == "It begins here…and ends."


words = st.text("abcdefgh", min_size=LEAST_TAIL, max_size=9)


@given(st.lists(words, min_size=4, max_size=30, unique=True), st.data())
def test_quotations_are_in_the_narrative(story: list[str], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(story) - 3))
    end = data.draw(st.integers(begin + 2, len(story) - 1))
    assume(len(story[begin]) >= LEAST_HEAD)
    quoted = quoted_whole(f"{story[begin]} … {story[end]}", " ".join(story))
    assert quoted == " ".join(story[begin : end + 1])


@pytest.mark.parametrize("gap", ["…", "\\u2026", "...", " … "])
def test_intents_of_an_answer_and_of_its_preview_quote_the_narrative(gap: str) -> None:
    intents = (
        f'{{"poi_intent": {{"create": "Stage", "description": "A puppet stage{gap}soot since."}}}}'
    )
    story = json.dumps(STORY)
    for found in (
        parse_outcome(f'{{"narrative": {story}, "intents": {intents}}}').intents,
        parse_outcome(f'{{"intents": {intents}, "narrative": {story}}}').intents,
        parse_intents(intents, STORY),
    ):
        assert found
        assert found.poi_intent
        assert found.poi_intent.description == "A" + QUOTES["a puppet stage ... soot since."][1:]
