"""The turns of a character that a front end's request is compared with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from app.core.access import Caller
from app.ports.history import TurnJournal
from app.ports.store import StoredTurn, TurnStatus
from app.turns import past
from app.turns.service import TurnService

PAGE = 50


class PastTurn(NamedTuple):
    """`action`: None for an opening, which no action began. `began`, `ended`: epoch seconds. `kept`:
    what the dialect of its request had kept with it."""

    turn_id: str
    action: str | None
    narrative: str
    status: TurnStatus
    began: float
    ended: float | None = None
    kept: Mapping[str, Any] = {}
    options: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.status in ("queued", "running")


class PastTurns:
    """Reads them from the journal; of those that run, the narrative so far. A dry run is none of
    them: nothing of it has happened."""

    def __init__(self, store: TurnJournal, turns: TurnService) -> None:
        self._store = store
        self._turns = turns

    async def newest_first(
        self, caller: Caller, character_id: str
    ) -> AsyncGenerator[PastTurn, None]:
        """All kept turns; read page by page."""
        before: str | None = None
        size = 2  # mostly, the newest ones are enough
        while True:
            page = await self._store.character_turns(caller.user_id, character_id, size, before)
            for turn in page:
                if not turn.request.get("dry_run"):
                    yield await self._past(turn, caller)
            if len(page) < size:
                return
            before, size = page[-1].turn_id, PAGE

    async def newest(self, caller: Caller, character_id: str) -> PastTurn | None:
        """The turn that was begun last."""
        async with aclosing(self.newest_first(caller, character_id)) as turns:
            return await anext(turns, None)

    async def _past(self, turn: StoredTurn, caller: Caller) -> PastTurn:
        shown = await past.shown(self._turns, turn, caller)
        opening = turn.request.get("kind") == "opening"
        return PastTurn(
            turn_id=turn.turn_id,
            action=None if opening else str(turn.request.get("user_action", "")).strip(),
            narrative=shown.get("narrative") or "",
            status=shown["status"],
            began=turn.created_at,
            ended=turn.finished_at,
            kept=turn.request.get("dialect") or {},
            options=_options(shown),
        )


def _options(shown: Mapping[str, Any]) -> tuple[str, ...]:
    found = shown.get("player_options") or ()
    return tuple(option for option in found if isinstance(option, str))
