"""Retelling a turn: what the prompt says of the rejected generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.encoding import encode

MAX_EARLIER: Final = 4_000  # characters
LEAST_EARLIER: Final = 120


@dataclass(frozen=True, slots=True)
class Retelling:
    """`earlier`: narrative of the rejected generation. `guidance`: the player's wish for the next one."""

    earlier: str
    guidance: str = ""


def retelling_sections(again: Retelling | None, turns: int) -> list[tuple[str, list[str]]]:
    """`turns`: how many past ones the prompt has at most; the fewer they are, the less of this."""
    if again is None:
        return []
    characters = max(MAX_EARLIER * min(turns, 100) // 100, LEAST_EARLIER)
    return [
        (
            "REJECTED ANSWER: CONTINUE FROM THE ACTION AGAIN, IN ANOTHER WAY",
            [encode(again.earlier[:characters]).decode()],
        ),
        ("WISHED FOR", [encode(again.guidance).decode()] if again.guidance else []),
    ]
