"""Past turns of a user's characters, whoever owns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.access import Action, Caller, may
from app.ports.store import StoredTurn
from app.turns.service import TurnService


async def shown(turns: TurnService, turn: StoredTurn, caller: Caller) -> Mapping[str, Any]:
    """Fields of a turn that the caller has taken, by their names in `TurnDescription`. Of one that is open,
    what there is so far; only its status where it is a table's, whose members alone may read it before it
    counts."""
    if turn.finished_at is None and may(caller, Action.READ, turn.resource):
        return await turns.describe(turn.turn_id, caller)
    return {**(turn.result or {}), "status": turn.status}
