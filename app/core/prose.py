"""The prose of a decoded text: reasoning inside it is left out.

`ProseFilter` is sans-I/O, as `NarrativeBuffer` is. It also finds an outcome that was encoded twice: a
narrative that is itself a JSON document is read as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from app.core.markers import OPENING_BRACKETS, Meaning, mark_at, may_become_mark
from app.core.text import has_visible

_OPENING = re.compile(rf"[{re.escape(OPENING_BRACKETS)}]")
_NESTED = re.compile(r"\s*(?:`{3,}\w*\s*)?(?:\[\s*)?\{\s*(?P<key>[\"'}])")
_MAYBE_NESTED = re.compile(r"\s*(?:`{0,3}|`{3,}\w*\s*)(?:\[\s*)?(?:\{\s*)?")
MAX_UNDECIDED: Final = 200
MAX_INVISIBLE: Final = 40_000
"""Characters; more than a narrative may have."""


class SpoiledNarrative(ValueError):
    """An end of reasoning stands in what was taken for narrative."""


class _Decoder(Protocol):
    def feed(self, text: str) -> str: ...


class ProseFilter:
    """`nested` makes the reader of a document inside the text; None: the text is never a document.

    `plain`: text without opening brackets would pass as it is. Nothing is returned before the first
    visible character.
    """

    __slots__ = ("_began", "_depth", "_held", "_inner", "_nested", "plain")

    def __init__(self, nested: Callable[[], _Decoder] | None = None) -> None:
        self._nested = nested
        self._inner: _Decoder | None = None
        self._began = False
        self._held = ""
        self._depth = 0
        self.plain = False

    def feed(self, text: str) -> str:
        """The next characters to show. Raises `SpoiledNarrative`."""
        if self._inner is not None:
            return self._inner.feed(text)
        held, self._held = self._held, ""
        if not self._began and not self._begin(held + text, text):
            return ""
        text = held + text
        if self._inner is not None:
            return self._inner.feed(text)
        shown = self._visible(text)
        self.plain = not self._depth and not self._held
        return shown

    def _begin(self, text: str, fresh: str) -> bool:
        """Whether it is known by now what the text is, of which `fresh` has not been looked at."""
        if self._nested is not None and len(text) <= MAX_UNDECIDED:
            if _NESTED.match(text):
                self._inner, self._began = self._nested(), True
                return True
            if _MAYBE_NESTED.fullmatch(text):
                self._held = text
                return False
        # Of what is held, only the first characters may be visible: they could be a nested document.
        if not has_visible(fresh) and not has_visible(text[:MAX_UNDECIDED]):
            if len(text) > MAX_INVISIBLE:
                raise SpoiledNarrative("narrative: begins with too much that nobody can see")
            self._held = text
            return False
        self._began = True
        return True

    def flush(self) -> str:
        """The held text, since no more comes."""
        held, self._held = self._held, ""
        if self._inner is not None or self._depth or (not has_visible(held) and not self._began):
            return ""
        return held

    def _visible(self, text: str) -> str:
        shown: list[str] = []
        pos = 0
        while (found := _OPENING.search(text, pos)) is not None:
            at = found.start()
            if not self._depth:
                shown.append(text[pos:at])
            pos = self._pass_mark(text, at, shown)
            if pos < 0:
                self._held = text[at:]
                return "".join(shown)
        if not self._depth:
            shown.append(text[pos:])
        return "".join(shown)

    def _pass_mark(self, text: str, at: int, shown: list[str]) -> int:
        """The position behind the mark or the character at `at`; -1: more text decides."""
        mark = mark_at(text, at)
        if mark is None and may_become_mark(text, at):
            return -1
        end = at + 1 if mark is None else mark.end
        meaning = None if mark is None else mark.meaning
        if meaning is Meaning.THOUGHT:
            self._depth += 1
        elif meaning in (Meaning.THOUGHT_END, Meaning.FINAL_CHANNEL):
            if self._depth:
                self._depth -= 1
            else:
                self._end_without_begin(shown)
        elif not self._depth:
            shown.append(text[at:end])
        return end

    def _end_without_begin(self, shown: list[str]) -> None:
        """Reasoning ends that was taken for the answer; `shown` has not been returned yet."""
        raise SpoiledNarrative("narrative: an end of reasoning stands in it")


def nested_document(text: str) -> bool:
    """Whether the text is a JSON document and no prose."""
    return _NESTED.match(text) is not None


def visible_prose(text: str) -> str:
    """The text without reasoning. Raises `SpoiledNarrative`."""
    prose = ProseFilter()
    return prose.feed(text) + prose.flush()
