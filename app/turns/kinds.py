"""Which pipeline a turn of each kind takes."""

from __future__ import annotations

from typing import Protocol

from app.ports.turn import TurnKind
from app.turns.state import TurnState


class Pipeline(Protocol):
    """The pipeline of one kind of turn; see `TurnOrchestrator`."""

    async def run(self, turn: TurnState) -> None: ...


def of_characters(pipeline: Pipeline) -> dict[TurnKind, Pipeline]:
    """The pipeline for all turns that a character takes, alone or at a table."""
    return {"turn": pipeline, "opening": pipeline, "table": pipeline}
