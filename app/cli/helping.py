"""How each command describes itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from textwrap import fill
from typing import Any, NamedTuple


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
