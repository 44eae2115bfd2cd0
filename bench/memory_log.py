"""The service on PostgreSQL with the event log of a single process: nobody else sees its running turns.

    python -m bench.memory_log serve

What publishing them costs is the difference to the service as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

from app.adapters.event_log.memory import MemoryEventLog, MemoryTurnLog
from app.adapters.event_log.shared import SharedEventLog
from app.bootstrap import sharing
from app.cli.main import main
from app.core.events import Entry


class UnsharedEventLog(SharedEventLog):
    def start(self) -> None:
        return

    def open(
        self, turn_id: str, entries: Sequence[Entry] = (), *, shared: bool = False
    ) -> MemoryTurnLog:
        return MemoryEventLog.open(self, turn_id, entries, shared=shared)


@contextmanager
def unshared() -> Iterator[None]:
    """For services that are built in the block."""
    with mock.patch.object(sharing, "SharedEventLog", UnsharedEventLog):
        yield


if __name__ == "__main__":
    with unshared():
        sys.exit(main(sys.argv[1:]))
