"""Topics of a conversation: keywords by a compact, documented method.

Candidates are runs of up to three words of what people write, between stop words and punctuation (the
method of RAKE). Words are lower-cased; those of fewer than three letters, numbers, the names of speakers
and emotes do not count. A candidate's score is the sum over the exchanges it stands in of a weight that
halves with every two exchanges of age; longer runs win over the words in them once they stand in two
exchanges.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from app.core.conversation import Exchange
from app.core.stop_words import STOP_WORDS, language_of

MAX_TOPICS: Final = 5
RECENT: Final = 6
"""Exchanges that count."""
MAX_READ: Final = 2_000
"""Characters of a message that are read."""
_HALF_LIFE: Final = 2
_LONGEST_RUN: Final = 3
_MIN_LETTERS: Final = 3
_MAX_LETTERS: Final = 40
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|@\w+")
_PIECES = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*|[^\w\s]|\d+")
_ELISION = re.compile(r"^(?:l|d|j|m|t|s|c|n|qu)['’]|['’](?:s|t|m|d|ll|ve|re)$", re.IGNORECASE)


def current_topics(exchanges: Sequence[Exchange]) -> list[str]:
    """At most `MAX_TOPICS`, the weightiest first."""
    recent = exchanges[-RECENT:]
    ignored = _names(recent)
    stop = STOP_WORDS[language_of(word for one in recent for word in _words(one.message))] | ignored
    scores: defaultdict[str, float] = defaultdict(float)
    seen: defaultdict[str, int] = defaultdict(int)
    for age, one in enumerate(reversed(recent)):
        for run in {run for words in _runs(one.message, stop) for run in _parts(words)}:
            scores[run] += 0.5 ** (age / _HALF_LIFE)
            seen[run] += 1
    repeated = [run for run in scores if " " not in run or seen[run] > 1]
    ranked = sorted(repeated, key=lambda run: (-scores[run] * (1 + run.count(" ")), -len(run), run))
    return _distinct(ranked)


def _distinct(ranked: Iterable[str]) -> list[str]:
    """Without those whose words are all in one that ranks higher."""
    topics: list[str] = []
    for run in ranked:
        if len(topics) == MAX_TOPICS:
            break
        if not any(set(run.split()) <= set(topic.split()) for topic in topics):
            topics.append(run)
    return topics


def _names(exchanges: Iterable[Exchange]) -> frozenset[str]:
    said = " ".join(part for one in exchanges for part in (one.username, one.speaker, *one.emotes))
    return frozenset(_words(said))


def _words(text: str) -> list[str]:
    return [piece.lower() for piece in _PIECES.findall(text[:MAX_READ]) if piece[0].isalpha()]


def _runs(text: str, stop: frozenset[str]) -> list[list[str]]:
    """Words that follow one another without a stop word or a mark in between."""
    runs: list[list[str]] = [[]]
    for piece in _PIECES.findall(_ADDRESS.sub(" . ", text[:MAX_READ])):
        word = _ELISION.sub("", piece.lower())
        if word[:1].isalpha() and word not in stop and _MIN_LETTERS <= len(word) <= _MAX_LETTERS:
            runs[-1].append(word)
        else:
            runs.append([])
    return runs


def _parts(words: Sequence[str]) -> Iterable[str]:
    for size in range(1, _LONGEST_RUN + 1):
        for start in range(len(words) - size + 1):
            yield " ".join(words[start : start + size])
