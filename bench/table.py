"""A line of the result: a figure of the service, those of the two marks, and what it should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Figures = Mapping[str, float]
"""By server."""


@dataclass(frozen=True)
class Failure:
    """Stands for a figure that a server could not hold; `reason` is one line."""

    reason: str


@dataclass(frozen=True)
class Row:
    """`target` in words; `met` is None where nothing can be met. `failed`: reasons by server."""

    name: str
    unit: str
    service: float | None
    floor: float | None = None
    limit: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        found: Mapping[str, float | Failure],
        target: str,
        met: Callable[[Figures], bool],
        note: str = "",
    ) -> Row:
        """`met` is called with the figures of the servers that held the measure."""
        values = {
            server: value for server, value in found.items() if isinstance(value, int | float)
        }
        failed = {name: one.reason for name, one in found.items() if isinstance(one, Failure)}
        try:
            is_met: bool | None = met(values)
        except KeyError as missing:
            is_met = None if missing.args[0] in failed and "service" in values else False
        marks = (values.get("floor"), values.get("limit"))
        return cls(name, unit, values.get("service"), *marks, target, is_met, note, failed)

    @property
    def ratio(self) -> float | None:
        """To the floor."""
        return self.service / self.floor if self.floor and self.service is not None else None

    def sent(self) -> dict[str, Any]:
        return {**asdict(self), "ratio_to_floor": self.ratio}

    @classmethod
    def received(cls, fields: dict[str, Any]) -> Row:
        return cls(**{name: value for name, value in fields.items() if name != "ratio_to_floor"})


_HEAD = ("", "service", "floor", "limit", "service ÷ floor", "target", "met")


def cells(row: Row) -> tuple[str, ...]:
    met = {True: "yes", False: "**no**", None: ""}[row.met]
    named = f"{row.name}, {row.unit}" if row.unit else row.name
    return (
        named,
        *(_cell(row, server) for server in ("service", "floor", "limit")),
        shown(row.ratio),
        row.target,
        met,
    )


def _cell(row: Row, server: str) -> str:
    if server in row.failed:
        return f"failed: {row.failed[server]}"
    return shown(getattr(row, server))


def shown(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(rows: list[Row]) -> str:
    """Markdown that can be read as it stands."""
    return drawn([_HEAD, *(cells(row) for row in rows)])


def drawn(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is its head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    head, *body = (
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([head, rule, *body])
