"""Topics of a table: one without a word of its own is none."""

from __future__ import annotations

import pytest
from app.core.table_topics import is_topic, topics_of

NONE = (
    *(
        "",
        " ",
        "\u200b",
        ".",
        "...",
        "?!",
        "-",
        "$",
        "the",
        "THE",
        " The ",
        "\uff34\uff28\uff25",
        "a",
        "I",
    ),
    *("of the", "the, the", "to be or not to be", "it's", "it\u2019s", "don't", "you and me"),
    *("der", "und das", "la", "de la", "los", "y", "il", "che \u00e8", "n\u00e3o", "het"),
)
SOME = (
    *(
        "spiders",
        "the spider",
        "death",
        "die",
        "to die",
        "war",
        "the war",
        "sin",
        "love",
        "old people",
    ),
    *("hat", "tot", "son", "will", "May", "man", "help", "work", "needs", "people", "13", "X"),
    *("\U0001f577", "the \U0001f577", "\u8718\u86db", "\u043f\u0430\u0443\u043a", "_", "drowning"),
)


@pytest.mark.parametrize("text", NONE)
def test_function_words_and_marks_are_no_topic(text: str) -> None:
    assert not is_topic(text)


@pytest.mark.parametrize("text", SOME)
def test_word_that_somebody_may_mean_is_a_topic(text: str) -> None:
    assert is_topic(text)


def test_topics_without_those_that_are_none() -> None:
    assert topics_of(["the", "eels", "of", "the sea"]) == ("eels", "the sea")
