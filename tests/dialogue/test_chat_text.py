"""What people read of a free-text answer, cut anywhere."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from app.core.boilerplate import LONGEST, RULES
from app.core.chat_text import ChatFilter, visible_chat
from app.core.markers import MAX_MARK
from app.core.prose import SpoiledNarrative
from app.core.sentences import sentence_end
from chat_answers import ANSWERS
from hypothesis import given
from hypothesis import strategies as st

LONGEST_MARKER = max(MAX_MARK, LONGEST)
TEXTS = [text for text, _ in ANSWERS.values()]


def in_pieces(pieces: list[str], names: tuple[str, ...] = ()) -> list[str]:
    """What is shown after each piece and at the end."""
    reader = ChatFilter(names)
    return [*(reader.feed(piece) for piece in pieces), reader.flush()]


def test_the_corpus_is_large_enough() -> None:
    assert len(ANSWERS) >= 60


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_read_the_same_at_every_split(name: str) -> None:
    text, visible = ANSWERS[name]
    assert visible_chat(text) == visible
    for at in range(len(text) + 1):
        assert "".join(in_pieces([text[:at], text[at:]])) == visible, at
    assert "".join(in_pieces(list(text))) == visible


def read(pieces: list[str]) -> str:
    try:
        return "".join(in_pieces(pieces))
    except SpoiledNarrative:
        return "spoiled"


FRAGMENTS = [
    *(
        "<think>",
        "</think>",
        "<|im_end|>",
        "[INST]",
        "<|message|>",
        "Dr. ",
        "[THINK]",
        "[/THINK]",
        "<answer>",
        "</answer>",
        "```",
        "`",
    ),
    *(
        "As an AI",
        "The user says",
        "Okay, so ",
        "I should reply",
        '"',
        ". ",
        "! ",
        "\n",
        " ",
        "a",
        "B",
    ),
    *("<", "[", "|", ">", "hey", "<b>", "assistant", "analysis", ":", "é", "🔥", "。", "final"),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12), st.data())
def test_the_same_is_shown_wherever_the_text_is_cut(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    edges = [0, *cuts, len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert read(pieces) == read(list(text)) == read([text])


@given(st.text(alphabet="abcdefgh ,.!?", min_size=1, max_size=80).filter(lambda t: t.strip()))
def test_text_without_marks_is_shown_as_it_is(text: str) -> None:
    assert visible_chat(f"Zz{text}") == f"Zz{text}".rstrip()


@given(st.sampled_from(TEXTS), st.sampled_from(TEXTS))
def test_visible_text_is_never_held_longer_than_the_longest_marker(one: str, two: str) -> None:
    text = f"Zz {one}\n\n{two}"
    reader, shown = ChatFilter(), ""
    try:
        visible = visible_chat(text)
        for at, character in enumerate(text):
            shown += reader.feed(character)
            # What is certain to be visible of the text so far has been shown but for one marker.
            until_now = ChatFilter()
            known = (until_now.feed(text[: at + 1]) + until_now.flush()).rstrip()
            if visible.startswith(known):
                assert len(known) - len(shown) <= LONGEST_MARKER
    except SpoiledNarrative:
        return


@pytest.mark.parametrize("text", ["Left!", "Hey ann, go", "Zoom", "🔥", '"Halt!"', "**Left**"])
def test_the_first_character_is_visible_within_one_delta(text: str) -> None:
    assert ChatFilter().feed(text).startswith(text[0])


def test_reasoning_that_ends_after_text_was_shown_cannot_be_taken_back() -> None:
    reader = ChatFilter()
    assert reader.feed("Zebras are fun.") == "Zebras are fun."
    with pytest.raises(SpoiledNarrative):
        reader.feed("</think>Hey!")


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("They greet me.</think>\n\nHey!", "Hey!"),
        ("Hey without any end.", "Hey without any end."),
        ("A call </tool_call> no.</think>Hey<tool_call>{}</tool_call>!", "Hey!"),
    ],
)
def test_a_model_that_thinks_first_is_held_until_its_reasoning_ends(
    text: str, visible: str
) -> None:
    for size in (1, 3, len(text)):
        reader = ChatFilter(thinks_first=True)
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        assert "".join([*map(reader.feed, parts), reader.flush()]) == visible


def test_the_name_of_a_speaker_is_left_out_at_the_start_only() -> None:
    pieces = in_pieces(list("Grok: Grok: say it"), ("Grok",))
    assert "".join(pieces) == "say it"
    assert "".join(in_pieces(list("I am Grok: say it"), ("Grok",))) == "I am Grok: say it"


@pytest.mark.parametrize("language", RULES)
def test_every_rule_drops_its_sentence_and_nothing_else(language: str) -> None:
    for phrase in RULES[language]:
        for begun in (phrase, phrase.capitalize()):
            assert visible_chat(f"{begun} something. Zebra!") == "Zebra!", phrase


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Hi there. You", "Hi there. "),
        ("Hi e.g. this. You", "Hi e.g. this. "),
        ("It is 3.5 high! You", "It is 3.5 high! "),
        ('He said "Stop. Now!" and left. You', 'He said "Stop. Now!" and left. '),
        ("Er rief „Halt. Stopp!“ und ging. Du", "Er rief „Halt. Stopp!“ und ging. "),
        ("One\nTwo", "One\n"),
        ("止まれ。次", "止まれ。"),
        ("Really?!) Yes", "Really?!) "),
    ],
)
def test_ends_of_sentences(text: str, first: str) -> None:
    assert sentence_end(text) == len(first)


@pytest.mark.parametrize("text", ["Hi there", "Hi there.", "Hi. ", 'He said "Hi. You'])
def test_a_sentence_that_may_go_on_has_no_end(text: str) -> None:
    assert sentence_end(text) == -1
    assert sentence_end(text, final=True) == len(text)


# -- what older services of this kind got wrong ----------------------------------------------------


def test_speech_in_quotation_marks_is_not_deleted() -> None:
    text = 'The guard says "Halt!" and draws his sword.'
    assert visible_chat(text) == text


def test_an_unclosed_think_tag_does_not_leak() -> None:
    assert visible_chat("Left it is. <think>Now the viewers") == "Left it is."


def test_nothing_is_deleted_from_the_middle_of_a_sentence() -> None:
    text = "Sure, and as the AI co-host I think that way, first, is the safest."
    assert visible_chat(text) == text


def test_a_leading_conjunction_and_white_space_stay() -> None:
    text = "And then?\n\n  But  why:\n    indented"
    assert visible_chat(text) == text


def test_markup_that_is_no_mark_of_reasoning_stays() -> None:
    text = "Press <kbd>E</kbd> or <a href='x'>this</a>."
    assert visible_chat(text) == text


HOSTILE = {
    "blank": [" "] * 20_000 + ["\n"] * 20_000,
    "blank behind text": ["Zebra", *[" "] * 40_000],
    "stars": ["*"] * 40_000,
    "backticks": ["`"] * 20_000,
    "brackets": ["<"] * 40_000,
    "square brackets": ["[AB"] * 20_000,
    "open reasoning": ["<think>"] * 10_000,
    "lost marks": ["analysisX", *["abc "] * 40_000],
    "boilerplate": ["As an AI "] * 10_000,
    "open quotation": ['As an AI "', *["abc. "] * 20_000],
    "fences": ["```", *["a\n`` "] * 20_000],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_are_read_in_linear_time(name: str) -> None:
    """Seconds where quadratic reading takes minutes; generous for a busy machine."""
    pieces = HOSTILE[name]

    def seconds(count: int) -> float:
        began = time.process_time()
        in_pieces(pieces[:count])
        return time.process_time() - began

    half, whole = seconds(len(pieces) // 2), seconds(len(pieces))
    assert whole < 6 * half + 0.3
