"""The retained events of turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class TurnLog(Protocol):
    """The retained frames of one turn, in order; `frames[k]` has the sequence number k+1."""

    frames: list[bytes]
    closed: bool
    broken: bool

    def append(self, frames: Sequence[bytes], *, last: bool = False) -> None:
        """Make frames visible and wake the readers; `last` closes the log.

        Who watches first hears of it at once, and everybody does of the end. What was appended in
        short order may be one call for the others.
        """
        ...

    def break_off(self) -> None:
        """Close the log of a turn that goes on elsewhere: readers must come back and find it."""
        ...

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there may be more; it must not raise."""
        ...

    def unwatch(self, wake: Callable[[], None]) -> None: ...


class EventLog(Protocol):
    def open(self, turn_id: str, frames: Sequence[bytes] = ()) -> TurnLog: ...

    def get(self, turn_id: str) -> TurnLog | None: ...

    def drop(self, turn_id: str) -> None: ...

    def sealed(self, frames: Sequence[bytes]) -> TurnLog:
        """A closed log of a finished turn, held by its readers only."""
        ...
