"""A turn that somebody reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import ERRORS, DungeonMasterError, InternalError, TurnCancelled, Upstream
from app.ports.event_log import TurnLog
from app.ports.store import StoredTurn
from app.turns.following import awaits_commit, read_to_end
from app.turns.state import TurnState


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn to read. `running` is None once it has ended; `headers` name the limits.

    `after`: number of the last event that the reader has seen. `parameters`: what dialects begin with.
    """

    turn_id: str
    character_id: str
    log: TurnLog
    running: TurnState | None
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    async def wait_ended(self) -> None:
        """Returns once its last event is there, or it is lost to another owner."""
        if self.running is not None:
            await self.running.wait_ended()
        else:
            await read_to_end(self.log)

    async def wait_awaiting(self) -> bool:
        """Returns once it awaits its commit (True) or has ended."""
        if self.running is not None:
            return await self.running.wait_awaiting()
        return await awaits_commit(self.log)


@dataclass(frozen=True, slots=True)
class FinishedTurn:
    """A completed turn; `result` as `TurnView.result` gives it."""

    turn_id: str
    result: dict[str, Any]


def opened(turn: TurnState) -> OpenTurn:
    """A turn that runs in this process."""
    request = turn.request
    kept = _parameters(request.character_id, request.dialect)
    return OpenTurn(turn.turn_id, request.character_id, turn.writer.log, turn, parameters=kept)


def replayed(turn: StoredTurn, log: TurnLog) -> OpenTurn:
    """A turn whose events come from elsewhere: it has ended, or another process runs it."""
    kept = _parameters(turn.character_id, turn.request.get("dialect") or {})
    return OpenTurn(turn.turn_id, turn.character_id, log, None, parameters=kept)


def _parameters(character_id: str, kept: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"character_id": character_id, **kept}


def stored_error(stored: StoredTurn) -> DungeonMasterError:
    """The error that a stored turn ended with."""
    if stored.status == "cancelled":
        return TurnCancelled()
    error = (stored.result or {}).get("error") or {}
    kind = ERRORS.get(error.get("type", ""), InternalError)
    upstream = error.get("upstream")
    return kind(
        error.get("message"),
        retry_after=error.get("retry_after_seconds"),
        recoverable=error.get("recoverable"),
        upstream=Upstream(**upstream) if upstream else None,
    )
