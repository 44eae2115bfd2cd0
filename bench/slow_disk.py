"""The service on a disk whose fsync takes so many seconds.

    python -m bench.slow_disk 0.005 serve

A commit is what makes a batch of the store durable: each of them takes so much longer here.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from unittest import mock

from app.cli.main import main

_CONNECT: Final = sqlite3.connect


class SlowConnection(sqlite3.Connection):
    seconds = 0.0

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *parameters)
        if sql == "COMMIT":
            time.sleep(self.seconds)
        return cursor


@contextmanager
def slow_disk(seconds: float) -> Iterator[None]:
    """For connections that are opened in the block."""
    kind = type("SlowConnection", (SlowConnection,), {"seconds": seconds})
    with mock.patch.object(sqlite3, "connect", partial(_CONNECT, factory=kind)):
        yield


if __name__ == "__main__":
    with slow_disk(float(sys.argv[1])):
        sys.exit(main(sys.argv[2:]))
