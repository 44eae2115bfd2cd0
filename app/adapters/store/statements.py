"""Transactions that are the same on every store: generators of statements, which get the rows of each.

Parameters are named `$1`, `$2` …, which both SQLite and PostgreSQL take.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Rows: TypeAlias = list[Sequence[Any]]


class Statement(NamedTuple):
    """One statement with its parameters."""

    text: str
    values: tuple[Any, ...]


Work: TypeAlias = Generator[Statement, Rows, T]


def sql(text: str, *values: Any) -> Work[Rows]:
    """The rows of a statement; of a change, those that it returns."""
    return (yield Statement(text, values))
