"""Output of commands: lists under headings, and complaints."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

Name = TypeVar("Name", bound=str)
SECOND: Final = 1.0


def print_lists(
    found: Mapping[Name, Sequence[Any]], line: Callable[[Any], str], *, as_json: bool
) -> None:
    """Each list under its name and its length, or all of them as JSON."""
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, entries in found.items():
        print(f"{name}: {len(entries)}")
        for entry in entries:
            print("  " + line(entry))


def complain(text: str) -> None:
    """One line on standard error."""
    print(f"dungeon-master: {text}", file=sys.stderr, flush=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """On a terminal, the seconds that something takes, from the first one on."""
    if not sys.stderr.isatty():
        yield
        return
    done, began = threading.Event(), time.monotonic()

    def count() -> None:
        while not done.wait(SECOND):
            print(
                f"\r{what} … {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True
            )

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        done.set()
        counter.join()
        if time.monotonic() - began > SECOND:
            print(file=sys.stderr, flush=True)
