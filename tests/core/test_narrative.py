"""The narrative that players read while it forms is the one that is parsed and persisted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import accumulate

import pytest
from app.core.lenient_json import MAX_KEY
from app.core.markers import MAX_MARK
from app.core.narrative import NarrativeBuffer
from app.core.outcome import (
    DungeonMasterOutcome,
    Intents,
    InvalidOutcome,
    parse_intents,
    parse_outcome,
)
from app.core.prose import SpoiledNarrative
from app.core.text import SurrogateJoiner
from documents import answers, cut, cut_at, held_answers, narratives, outcomes, reasoning
from hypothesis import given
from hypothesis import strategies as st

FIRE = "\U0001f525"


def shown(pieces: Iterable[str]) -> str:
    return "".join(feed(pieces))


def feed(pieces: Iterable[str]) -> list[str]:
    buffer = NarrativeBuffer()
    return [buffer.feed(piece) for piece in pieces]


def spans(pieces: Iterable[str]) -> tuple[int, int] | None:
    buffer = NarrativeBuffer()
    for piece in pieces:
        buffer.feed(piece)
    return buffer.spans.get("intents")


def document(narrative_json: str) -> str:
    return f'{{"narrative": {narrative_json}, "intents": {{}}}}'


@given(st.data())
def test_shown_text_is_always_a_prefix_of_the_narrative_and_finally_all_of_it(
    data: st.DataObject,
) -> None:
    text = data.draw(answers())
    narrative = parse_outcome(text).narrative
    pieces = feed(data.draw(cut(text)))
    assert all(narrative.startswith(so_far) for so_far in accumulate(pieces))
    assert "".join(pieces) == narrative


@given(st.data())
def test_every_piece_shown_is_valid_utf_8(data: st.DataObject) -> None:
    for piece in feed(data.draw(cut(data.draw(answers())))):
        assert piece.encode().decode() == piece


@given(st.data())
def test_shown_text_does_not_depend_on_where_the_answer_was_cut(data: st.DataObject) -> None:
    noise = st.text(st.sampled_from('{}[]":,\\undn<>/think narrative'), max_size=60)
    text = data.draw(st.one_of(noise, answers().map(lambda whole: whole[: len(whole) // 2])))
    assert shown(data.draw(cut(text))) == shown([text])


@given(st.data())
def test_many_pieces_at_once_are_the_same_as_one_after_another(data: st.DataObject) -> None:
    noise = st.text(st.sampled_from('{}[]":,\\undn<>/think narrative'), max_size=60)
    pieces = data.draw(cut(data.draw(st.one_of(noise, answers()))))
    size = data.draw(st.integers(1, 5))
    reads = [pieces[at : at + size] for at in range(0, len(pieces), size)]
    one, many = NarrativeBuffer(), NarrativeBuffer()
    for read in reads:
        pieces_shown = [shown for piece in read if (shown := one.feed(piece))]
        assert many.feed_all(read, "".join(read)) == ("".join(pieces_shown), len(pieces_shown))
    assert (many.spans, many.over) == (one.spans, one.over)


@given(st.one_of(st.text(max_size=60), answers()), st.integers(0, 200), st.text(max_size=3))
def test_a_spoiled_answer_never_raises_and_shows_its_narrative_only_if_it_still_has_one(
    text: str, at: int, instead: str
) -> None:
    spoiled = text[:at] + instead + text[at + 1 :]
    visible = shown(list(spoiled))
    assert visible.encode().decode() == visible
    with suppress(InvalidOutcome):
        assert parse_outcome(spoiled).narrative.startswith(visible)


@given(outcomes())
def test_the_narrative_is_complete_once_its_closing_quote_was_read(text: str) -> None:
    narrative = parse_outcome(text).narrative
    assert shown(list(text)) == narrative


def test_plain_text_is_shown_in_the_very_feed_that_brings_it() -> None:
    pieces = ['{"narrative": "', "The torch", " gutters", '.", "intents"', ": {}}"]
    assert feed(pieces) == ["", "The torch", " gutters", ".", ""]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["\\", "n"], ["", "\n"]),
        (["\\u00", "e9"], ["", "é"]),
        (["\\", "u", "0", "0", "e", "9"], ["", "", "", "", "", "é"]),
        (["\\ud83d", "\\udd25"], ["", FIRE]),
        (["\\ud83d\\", "udd25"], ["", FIRE]),
        (["\\ud83d", "x"], ["", "\ufffdx"]),
        (["\\ud83d", "\\n"], ["", "\ufffd\n"]),
        (["\\udd25", "x"], ["\ufffd", "x"]),
        (["a\\", '"b'], ["a", '"b']),
    ],
)
def test_an_escape_cut_in_two_waits_for_its_other_half(
    pieces: list[str], expected: list[str]
) -> None:
    assert feed(['{"narrative": "x', *pieces])[1:] == expected


@pytest.mark.parametrize(
    ("escape", "read"),
    [
        ("\\x41", "x41"),
        ("\\u12g4", "u12g4"),
        ("\\'", "'"),
        ("\\*", "*"),
        ("\\_", "_"),
        ("\\u-123", "u-123"),
        ("\\ud83d\\uzzzz", "\ufffduzzzz"),
        ("\\U0001f525", "U0001f525"),
    ],
)
def test_an_escape_that_json_does_not_have_is_read_as_its_character(escape: str, read: str) -> None:
    text = document(f'"before{escape}after"')
    assert shown(list(text)) == shown([text]) == f"before{read}after"
    assert parse_outcome(text).narrative == f"before{read}after"


@pytest.mark.parametrize(
    "text",
    [
        '{"intents": {"narrative": "no"}, "narrative": "yes"}',
        '{"a": {"narrative": "no"}, "b": [{"narrative": "no"}], "narrative": "yes", "intents": {}}',
        '{"a": "narrative", "narrative": "yes", "intents": {}}',
        '{"a": ["narrative", "no"], "narrative": "yes", "intents": {}}',
        '{"x\\"narrative": "no", "narrative": "yes", "intents": {}}',
        '{"\\u006earr\\u0061tive": "yes", "intents": {}}',
        '{"narrative\\\\": "no", "narrative": "yes", "intents": {}}',
        '{"Narrative": "no", "narrative": "yes", "intents": {}}',
    ],
)
def test_only_the_top_level_field_is_the_narrative(text: str) -> None:
    assert shown(list(text)) == shown([text]) == parse_outcome(text).narrative == "yes"


@pytest.mark.parametrize("value", ["null", "5", "true", '["no"]', '{"text": "no"}'])
def test_a_narrative_that_is_no_string_shows_nothing(value: str) -> None:
    assert shown([document(value)]) == ""


@given(reasoning(), narratives)
def test_private_reasoning_is_never_shown(thoughts: str, narrative: str) -> None:
    text = f"{thoughts}\n{document(json.dumps(narrative))}"
    assert shown(list(text)) == narrative


@pytest.mark.parametrize(
    "opening", ["<think>", "<Reflection>", "Sure. <THINKING>", "\xa0<thought>"]
)
def test_reasoning_that_never_ends_shows_nothing(opening: str) -> None:
    text = f"{opening} maybe {document(json.dumps('a draft'))}"
    assert shown(list(text)) == shown([text]) == ""


def test_prose_before_a_reasoning_block_does_not_uncover_it() -> None:
    text = f"Sure! <think>{document('1')}</think>{document(json.dumps('yes'))}"
    for at in range(len(text)):
        assert shown(cut_at(text, [at])) == ""
    assert parse_outcome(text).narrative == "yes"


@given(st.data())
def test_behind_an_unknown_begin_nothing_is_shown_and_the_last_document_is_the_answer(
    data: st.DataObject,
) -> None:
    text = data.draw(held_answers())
    assert shown(data.draw(cut(text))) == ""
    assert parse_outcome(text).narrative != "a draft"


@given(st.data())
def test_the_intents_span_is_the_value_of_the_top_level_intents(data: st.DataObject) -> None:
    text = data.draw(answers())
    span = spans(data.draw(cut(text)))
    assert span is not None
    assert parse_intents(text[slice(*span)]) == parse_outcome(text).intents


def test_the_intents_span_is_known_with_the_closing_brace_and_not_before() -> None:
    text = '{"narrative": "x", "intents": {"meta": {}}'
    assert spans([text[:-1]]) is None
    span = spans([text])
    assert span is not None
    assert text[slice(*span)] == '{"meta": {}}'


@pytest.mark.parametrize(
    "text",
    [
        document(json.dumps("The torch gutters. " * 2000)),
        document(json.dumps(f"{FIRE}\n" * 6000)),
        document("1")[:-1] + f', "x": "{"a" * 40_000}", "{"k" * 40_000}": 1}}',
        f"<think>{'<hm> ' * 8000}</think>" + document('"x"'),
        "prose < " * 6000 + document('"x"'),
    ],
    ids=["plain", "escapes", "other fields", "reasoning", "prose"],
)
def test_held_back_text_stays_small_so_that_the_cost_is_linear(text: str) -> None:
    buffer, most = NarrativeBuffer(), 0
    for character in text:
        buffer.feed(character)
        most = max(most, len(buffer._pending))
    assert most <= max(MAX_MARK, 6 * MAX_KEY) + 5


def calls_made(text: str, size: int) -> int:
    """Python and C calls that feeding the text takes."""
    buffer, calls = NarrativeBuffer(), 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for at in range(0, len(text), size):
            buffer.feed(text[at : at + size])
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("size", [7, 1000, 200_000])
@pytest.mark.parametrize("unit", ["plain text, ", f"{FIRE}\n\\", '"'])
def test_twice_the_text_takes_twice_the_calls(unit: str, size: int) -> None:
    short, long = (document(json.dumps(unit * (count // len(unit)))) for count in (4_000, 8_000))
    assert calls_made(long, size) <= 2.2 * calls_made(short, size) + 100


def whole(pieces: Iterable[str]) -> str:
    joiner = SurrogateJoiner()
    return "".join([joiner.feed(piece) for piece in pieces] + [joiner.flush()])


surrogates = st.text(st.sampled_from("\ud83d\udd25\udbff\udc00a\ufeffé"), max_size=12)


@given(st.data())
def test_raw_halves_are_joined_wherever_the_deltas_were_cut(data: st.DataObject) -> None:
    text = data.draw(surrogates)
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert whole(data.draw(cut(text))) == expected
    assert expected.encode().decode() == expected


@given(st.data())
def test_a_narrative_of_raw_halves_is_shown_as_it_is_parsed(data: st.DataObject) -> None:
    text = document(f'"x{data.draw(surrogates)}"')
    joiner = SurrogateJoiner()
    deltas = [joiner.feed(piece) for piece in data.draw(cut(text))]
    assert shown(deltas) == parse_outcome("".join(deltas) + joiner.flush()).narrative


def test_examples_parse_as_expected() -> None:
    """The properties above would hold for a parser that refused everything."""
    assert parse_outcome(document('"\\ud83d\\udd25\\ud83d"')) == DungeonMasterOutcome(
        narrative=f"{FIRE}\ufffd", intents=Intents()
    )


def test_a_narrative_that_never_begins_to_be_visible_is_given_up() -> None:
    buffer = NarrativeBuffer()
    assert buffer.feed('{"narrative": "') == ""
    for _ in range(9_000):
        assert buffer.feed("    ") == ""
    with pytest.raises(SpoiledNarrative):
        buffer.feed(" " * 5_000)


def test_a_long_blank_start_of_a_narrative_is_shown_with_its_first_letter() -> None:
    buffer = NarrativeBuffer()
    assert buffer.feed('{"narrative": "' + " " * 1_000) == ""
    assert buffer.feed("A bell") == " " * 1_000 + "A bell"
