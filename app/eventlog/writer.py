"""The writing end of a turn's event log."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.events import LOST_END, Terminal, TurnEvent, encode_frame, stamp, token_frame
from app.core.view import TurnView
from app.ports.clock import Clock
from app.ports.event_log import TurnLog


class LogWriter:
    """Numbers, stamps and encodes events, then shows them to readers.

    `append` does both at once. What the journal must hold before anybody sees it is `drafted`
    first and shown by `publish` once it is durable; nothing else may be appended in between.
    """

    __slots__ = (
        "_clock",
        "_drafts",
        "_last",
        "log",
        "recorded",
        "turn_id",
        "view",
    )

    def __init__(self, turn_id: str, log: TurnLog, clock: Clock) -> None:
        self.turn_id = turn_id
        self.log = log
        self.view = TurnView()
        self.recorded = 0
        """How many frames the journal holds."""
        self._clock = clock
        self._drafts: list[TurnEvent] = []
        self._last = len(log.frames)  # the number of the newest frame

    def append(self, event: TurnEvent) -> None:
        self._last += 1
        self.log.append((self._encode(event, self._last),))
        self.view.apply(event)

    def append_token(self, content: str, index: int) -> None:
        """`append` of a `Token`, as happens for nearly every read of the model's stream."""
        self._last += 1
        at = stamp(self._clock.now())
        self.log.append((token_frame(self.turn_id, self._last, content, index, at),))
        self.view.parts.append(content)
        self.view.length += len(content)

    def draft(self, *events: TurnEvent) -> list[bytes]:
        """The frames that the journal is still missing, the given events last."""
        self._drafts = list(events)
        drafted = [self._encode(event, self._last + k) for k, event in enumerate(events, start=1)]
        return [*self.log.frames[self.recorded :], *drafted]

    def publish(self, frames: Sequence[bytes]) -> None:
        """Show what `draft` returned, now that the journal holds it."""
        fresh = frames[len(self.log.frames) - self.recorded :]
        self.recorded += len(frames)
        self._last += len(self._drafts)
        for event in self._drafts:
            self.view.apply(event)
        self._drafts = []
        self.log.append(fresh, last=self.view.terminal is not None)

    def skip_to_lost_end(self) -> None:
        """Number the next event as the end of a turn whose other events are gone."""
        self._last = LOST_END - 1

    def preview(self, terminal: Terminal) -> TurnView:
        """The view as it will be once `terminal` is published."""
        view = TurnView()
        view.parts, view.length = self.view.parts, self.view.length
        view.tokens, view.phase = self.view.tokens, self.view.phase
        view.committed, view.terminal = self.view.committed, terminal
        return view

    def _encode(self, event: TurnEvent, seq: int) -> bytes:
        return encode_frame(self.turn_id, seq, event, stamp(self._clock.now()))
