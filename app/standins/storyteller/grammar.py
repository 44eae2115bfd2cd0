"""A small generative grammar: rules with choices and slots, expanded by a seeded random source.

In a rule `[one|another]` is a choice and may be nested, `{slot}` is a value, `{Slot}` the same with
a capital, `{a:slot}` with its article and `{s:slot}` in the plural. Values are never expanded.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

LATELY = 6

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(?:([AaSs]):)?(\w+)\}")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[”’]?\s+")
_SPECIAL = str.maketrans(dict.fromkeys("{}[]<>|\\`", " "))
_VOWEL_BUT_CONSONANT = ("uni", "eu", "one", "use")


class Voice:
    """Says one turn: prefers what was not said lately and does not begin two sentences alike.

    `told` are the turns before, oldest first.
    """

    def __init__(
        self, rng: random.Random, slots: Mapping[str, str], told: Sequence[str] = ()
    ) -> None:
        self._rng = rng
        self._slots = dict(slots)
        self._told = "\n".join(told)
        self._last = told[-1] if told else ""
        self._lately = {opening(said) for text in told[-LATELY:] for said in sentences(text)}
        self._said: set[str] = set()
        self._openings: set[str] = set()

    def bind(self, **slots: str) -> None:
        self._slots.update(slots)

    def value(self, slot: str) -> str:
        return self._slots[slot]

    def say(self, *rules: str) -> str:
        """The expansion of the rule that repeats least."""
        shuffled = self._rng.sample(rules, len(rules))
        text = min((self.expand(rule) for rule in shuffled), key=self._staleness)
        self._said.update(sentences(text))
        self._openings.update(opening(sentence) for sentence in sentences(text))
        return text

    def chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return self._rng.choice(options)

    def expand(self, rule: str) -> str:
        while _CHOICE.search(rule):
            rule = _CHOICE.sub(lambda found: self._rng.choice(found[1].split("|")), rule)
        return _SLOT.sub(self._fill, rule)

    def _fill(self, found: re.Match[str]) -> str:
        form, name = found[1] or "", found[2]
        value = self._slots.get(name) or self._slots[name[0].lower() + name[1:]]
        if form in ("a", "A"):
            value = with_article(value)
        elif form in ("s", "S"):
            value = plural(value)
        return capital(value) if form.isupper() or name[0].isupper() else value

    def _staleness(self, text: str) -> int:
        said = sentences(text)
        again = sum(sentence in self._said for sentence in said)
        old = sum(self._told.count(sentence) for sentence in said)
        just = sum(sentence in self._last for sentence in said)
        alike = sum(opening(sentence) in self._openings for sentence in said)
        return (
            100 * again
            + 20 * just
            + 4 * old
            + 2 * alike
            + sum(opening(s) in self._lately for s in said)
        )


def sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]


def opening(sentence: str) -> str:
    """The two words a sentence begins with."""
    return " ".join(re.findall(r"[\w’'-]+", sentence.casefold())[:2])


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def with_article(noun: str) -> str:
    low = noun.casefold()
    vowel = low.startswith(tuple("aeiou")) and not low.startswith(_VOWEL_BUT_CONSONANT)
    return f"{'an' if vowel or low.startswith(('hour', 'honest', 'heir')) else 'a'} {noun}"


def plural(noun: str) -> str:
    """Of an English noun; its last word takes the ending."""
    head, space, last = noun.rpartition(" ")
    low = last.casefold()
    if low.endswith("man"):
        last = f"{last[:-2]}en"
    elif low.endswith(("wolf", "thief")):
        last = f"{last[:-1]}ves"
    elif low.endswith("y") and low[-2:-1] not in "aeiou":
        last = f"{last[:-1]}ies"
    elif low.endswith(("s", "x", "z", "ch", "sh")):
        last = f"{last}es"
    else:
        last = f"{last}s"
    return head + space + last


def joined(parts: list[str]) -> str:
    """“a”, “a and b”, “a, b and c”."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def within(name: str) -> str:
    """A name as it stands inside a sentence: its article is not capitalised."""
    return f"the {name[4:]}" if name.startswith("The ") else name


def cleaned(text: str, limit: int) -> str:
    """Someone else's text made fit for a sentence.

    At most `limit` characters on one line, cut at a word; no controls, no invisible characters,
    no brackets.
    """
    kept = "".join(
        " " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char
        for char in text[: 20 * limit].translate(_SPECIAL)
        if unicodedata.category(char) not in ("Cf", "Cs", "Co", "Cn")
    )
    return cut_at_word(" ".join(kept.split()), limit)


def cut_at_word(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head, space, _ = text[: limit + 1].rpartition(" ")
    # Writing without spaces has no better place to be cut.
    return head.rstrip(" ,;:-–—") if space and len(head) > limit // 2 else text[:limit]
