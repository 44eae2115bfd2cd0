"""A generative grammar: templates with choices and placeholders, expanded by a seeded generator.

In a template `[one|another]` is a choice and may be nested, `{slot}` is a value, `{Slot}` the same
with a capital and `{a:slot}` with its article. Values are never expanded.
"""

import random
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from app.standins.storyteller.text import capital, sentences, uncapitalised, with_article

T = TypeVar("T")

RECENT = 6
"""Number of turns whose sentence openings are avoided."""

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(?:([Aa]):)?(\w+)\}")


class Narrator:
    """Expands templates and prefers text that was not used before.

    `history` holds the narratives of earlier turns, oldest first.
    """

    def __init__(
        self, rng: random.Random, slots: Mapping[str, str], history: Sequence[str] = ()
    ) -> None:
        self._rng = rng
        self._slots = dict(slots)
        self._history = "\n".join(history)
        self._earlier = {said for text in history for said in sentences(text)}
        self._last_turn = history[-1] if history else ""
        self._recent = {_opening(said) for text in history[-RECENT:] for said in sentences(text)}
        self._series: dict[str, list[str]] = {}
        self._said: set[str] = set()
        self._openings: set[str] = set()
        self._phrases: set[tuple[str, ...]] = set()

    def bind(self, **slots: str) -> None:
        self._slots.update(slots)

    def bind_series(self, slot: str, values: Sequence[str]) -> None:
        """Bind the values one after the other, in random order, each until it has been said."""
        self._series[slot] = self._rng.sample(values, len(values))
        self._slots[slot] = self._series[slot][0]

    def value(self, slot: str) -> str:
        return self._slots[slot]

    def say(self, templates: Sequence[str]) -> str:
        """The expansion that repeats the least."""
        return self._taken(self._best(templates))

    def _best(self, templates: Sequence[str]) -> str:
        shuffled = self._rng.sample(templates, len(templates))
        return min((self.expand(template) for template in shuffled), key=self._repetition)

    def _taken(self, text: str) -> str:
        for slot, values in self._series.items():
            self._series[slot] = [value for value in values if value not in text] or values
            self._slots[slot] = self._series[slot][0]
        self._said.update(sentences(text))
        self._openings.update(map(_opening, sentences(text)))
        self._phrases.update(_phrases(text))
        return text

    def was_said(self, text: str) -> bool:
        """Whether a sentence of it was said before, in this turn or an earlier one."""
        return any(one in self._earlier or one in self._said for one in sentences(text))

    def offer(self, templates: Sequence[str]) -> str:
        """As `say`, or nothing where every expansion would repeat a sentence."""
        text = self._best(templates)
        return "" if self.was_said(text) else self._taken(text)

    def chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return self._rng.choice(options)

    def expand(self, template: str) -> str:
        while _CHOICE.search(template):
            template = _CHOICE.sub(lambda found: self._rng.choice(found[1].split("|")), template)
        return _SLOT.sub(self._fill, template)

    def _fill(self, found: re.Match[str]) -> str:
        form, name = found[1] or "", found[2]
        value = self._slots.get(name) or self._slots[uncapitalised(name)]
        if form:
            value = with_article(value)
        return capital(value) if form.isupper() or name[0].isupper() else value

    def _repetition(self, text: str) -> int:
        """A penalty: highest for a sentence of this turn, lowest for a recent opening."""
        said = sentences(text)
        return (
            100 * sum(sentence in self._said for sentence in said)
            + 40 * (not self._phrases.isdisjoint(_phrases(text)))
            + 20 * sum(sentence in self._last_turn for sentence in said)
            + 4 * sum(self._history.count(sentence) for sentence in said)
            + 2 * sum(_opening(sentence) in self._openings for sentence in said)
            + sum(_opening(sentence) in self._recent for sentence in said)
        )


def template_mistake(template: str, slots: Collection[str], *, choices: bool) -> str | None:
    """The mistake in a template in which only `slots` are bound; None without one."""
    if not template.strip():
        return "the text is empty"
    for _, name in _SLOT.findall(template):
        if name not in slots and uncapitalised(name) not in slots:
            return f"unknown placeholder {{{name}}}"
    rest = _SLOT.sub("", template)
    if not choices and "[" in rest:
        return "there can be no choice here"
    while _CHOICE.search(rest):
        rest = _CHOICE.sub("", rest)
    if stray := re.search(r"[{}\[\]|]", rest):
        return f"“{stray[0]}” belongs to no placeholder and no choice"
    return None


def _phrases(text: str) -> set[tuple[str, ...]]:
    """All runs of five words."""
    words = re.findall(r"[\w’'-]+", text.casefold())
    return set(zip(*(words[at:] for at in range(5)), strict=False))


def _opening(sentence: str) -> str:
    """The first two words."""
    return " ".join(re.findall(r"[\w’'-]+", sentence.casefold())[:2])
