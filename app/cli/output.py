"""What commands print: lists under headings, and complaints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Name = TypeVar("Name", bound=str)


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
