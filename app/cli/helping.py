"""How each command describes itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from textwrap import fill
from typing import Any, Final, NamedTuple

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


class Help(NamedTuple):
    """One line for the list of commands, a description, and a line for the shell."""

    summary: str
    description: str
    example: str


def add(commands: Any, name: str, text: Help, run: Callable[..., int]) -> argparse.ArgumentParser:
    """A command, or an action of one, that `run` carries out."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text.summary,
        description=fill(text.description, 96),
        epilog=f"example:\n  {text.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def count(value: str) -> int:
    """An argument that counts something."""
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(value)


def span(value: str) -> float:
    """An argument that is a time, such as 90s, 30m, 2h or 7d; in seconds."""
    number, unit = value[:-1], value[-1:]
    if not number.isdecimal() or unit not in _SECONDS:
        raise argparse.ArgumentTypeError("must be a number and a unit, as in 90s, 30m, 2h or 7d")
    return int(number) * _SECONDS[unit]
