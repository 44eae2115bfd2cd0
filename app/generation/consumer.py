"""Consumers of an answer while it streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.core.money import NOTHING, amount_of
from app.core.results import Usage
from app.core.text import has_visible
from app.ports.model import FailureKind


class Consumer(Protocol):
    """Reads the raw text of a generation and shows what is visible of it.

    `started`: something was shown, so that the text cannot be generated anew. `over`: nothing of the
    rest will be visible. `position`: a number that grows with what was read and is handed back with
    what may be shown, since moderation lets more be read meanwhile. `raw`: the text that the latest call
    has read.
    """

    @property
    def started(self) -> bool: ...

    @property
    def over(self) -> bool: ...

    @property
    def position(self) -> int: ...

    @property
    def raw(self) -> str: ...

    def begin(self, *, moderated: bool) -> None:
        """A call to a model begins; what was read of an earlier one does not count."""
        ...

    def read(self, deltas: list[str], text: str, now: float) -> str:
        """One upstream read: its deltas, also joined. Shows what is visible of it at once, or, where it
        is moderated, returns that to be judged. Raises `LLMResponseError` where there is too much.
        """
        ...

    def show(self, content: str, position: int, now: float) -> None:
        """Show text that was judged, or that `finish` returned. Raises `LLMResponseError`."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the answer is complete by itself, so that nothing more of it is wanted."""
        ...

    def finish(self, text: str, *, cut: FailureKind | None) -> str | None:
        """The visible text that only the end of the whole text makes certain; None where the text is no
        answer. `cut`: how the stream ended that did not end well."""
        ...

    def spend(self, usage: Usage) -> None:
        """A call has cost this much, whatever came of it."""
        ...


class TextConsumer:
    """Shows all of the text, as it comes."""

    def __init__(self, on_text: Callable[[str], None] | None = None) -> None:
        self._on_text = on_text
        self.started = False
        self.over = self.closed = False
        self.position = 0
        self._moderated = False
        self._parts: list[str] = []

    @property
    def raw(self) -> str:
        return "".join(self._parts)

    def begin(self, *, moderated: bool) -> None:
        self._moderated = moderated
        self.position = 0
        self._parts = []

    def read(self, deltas: list[str], text: str, now: float) -> str:
        self.position += len(deltas)
        self._parts.append(text)
        if self._moderated:
            return text
        self.show(text, self.position, now)
        return ""

    def show(self, content: str, position: int, now: float) -> None:
        if content:
            self.started = True
            if self._on_text is not None:
                self._on_text(content)

    def finish(self, text: str, *, cut: FailureKind | None) -> str | None:
        return "" if has_visible(text) and not cut else None

    def spend(self, usage: Usage) -> None:
        return


class Cost(TextConsumer):
    """Keeps the text to itself, and counts what all calls together have used."""

    spent = NOTHING

    def spend(self, usage: Usage) -> None:
        self.spent += amount_of(usage)
