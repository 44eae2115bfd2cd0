"""The writing end of a turn's event log."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.cursors import after_lost
from app.core.events import (
    Draft,
    Entry,
    Terminal,
    Token,
    TurnEvent,
    encode_entry,
    encode_token,
    of_field,
    stamp,
)
from app.core.shortening import MAX_EVENT
from app.core.view import TurnView
from app.ports.clock import Clock
from app.ports.event_log import TurnLog


def newest_of(log: TurnLog) -> int:
    """The number of the newest entry."""
    newest = log.entries(log.end - 1)
    return newest[0][0] if newest else 0


class LogWriter:
    """Numbers, stamps and encodes events, then shows them to readers.

    `append` does both at once. What the journal must hold before anybody sees it is drafted first
    (`draft`) and shown by `publish` once it is durable; nothing else may be appended in between.
    """

    __slots__ = (
        "_clock",
        "_drafts",
        "_last",
        "drafts",
        "log",
        "recorded",
        "turn_id",
        "view",
    )

    def __init__(self, turn_id: str, log: TurnLog, clock: Clock) -> None:
        self.turn_id = turn_id
        self.log = log
        self.view = TurnView()
        self.drafts = False
        """Tokens have to be approved: they are shown as drafts."""
        self.recorded = 0
        """How many entries the journal holds."""
        self._clock = clock
        self._drafts: list[TurnEvent] = []
        self._last = newest_of(log)

    def append(self, event: TurnEvent) -> None:
        """Show an event that the journal will get with the next step."""
        if self.drafts and isinstance(event, Token):
            event = Draft(event.content, event.index, event.field)
        self._last += 1
        self.log.append((self._encode(event, self._last),))
        self.view.apply(event)

    def append_token(self, content: str, index: int, field: str | None = None) -> None:
        """`append` of a `Token`, as happens for nearly every read of the model's stream; of several
        where one would be too long. `field`: None is the narrative."""
        data = encode_token(content, index, stamp(self._clock.now()))
        if field is not None:
            data = of_field(data, field)
        if len(data) > MAX_EVENT:
            half = len(content) // 2
            self.append_token(content[:half], index, field)
            self.append_token(content[half:], index, field)
            return
        if self.drafts:
            self.append(Draft(content, index))
            return
        self._last += 1
        self.log.append(((self._last, "token", data),))
        self.view.parts.append(content)
        self.view.length += len(content)

    def draft(self, *events: TurnEvent) -> list[Entry]:
        """The entries that the journal is still missing, the given events last."""
        self._drafts = list(events)
        drafted = [self._encode(event, self._last + k) for k, event in enumerate(events, start=1)]
        return [*self.log.entries(self.recorded), *drafted]

    def publish(self, entries: Sequence[Entry]) -> None:
        """Show what `draft` returned, now that the journal holds it."""
        fresh = entries[self.log.end - self.recorded :]
        self.recorded += len(entries)
        self._last += len(self._drafts)
        for event in self._drafts:
            self.view.apply(event)
        self._drafts = []
        self.log.append(fresh, last=self.view.terminal is not None)
        self.log.release(self.recorded)

    def skip_lost(self) -> None:
        """Number the next event as that of a turn whose newest events are gone."""
        following = after_lost(self._last)
        self._last = following - 1
        self.log.skip_to(following)

    def preview(self, terminal: Terminal) -> TurnView:
        """The view as it will be once `terminal` is published."""
        view = TurnView()
        view.parts, view.length = self.view.parts, self.view.length
        view.tokens, view.phase = self.view.tokens, self.view.phase
        view.committed, view.terminal = self.view.committed, terminal
        view.extras, view.draft = self.view.extras, self.view.draft
        return view

    def _encode(self, event: TurnEvent, seq: int) -> Entry:
        return encode_entry(seq, event, stamp(self._clock.now()))
