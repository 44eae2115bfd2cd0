"""A line of the result: a figure of the service, those of the two marks, and what it should be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """`target` in words; `met` is None where there is nothing to meet."""

    name: str
    unit: str
    service: float
    floor: float | None = None
    limit: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """To the floor."""
        return self.service / self.floor if self.floor else None

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
        shown(row.service),
        shown(row.floor),
        shown(row.limit),
        shown(row.ratio),
        row.target,
        met,
    )


def shown(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(rows: list[Row]) -> str:
    """Markdown that can be read as it stands."""
    lines = [_HEAD, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    drawn = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([drawn[0], rule, *drawn[1:]])
