"""The turns of rounds: begun, and looked up until they have ended. The deeds of one that fails are kept.

A turn that died with its process is played again at once, a round whose turn has failed is open again. Each
change is made from what the store holds, so that it is made once, whoever finds out first.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from app.core.rounds import Round
from app.core.tables import NewLine, Seat, Table
from app.errors import Interrupted, TokenBudgetExceeded
from app.ports.store import Choice, StoredTurn
from app.ports.tables import TableStore
from app.tables.play import TablePlay
from app.tables.rooms import Rooms

Fate = Literal["open", "over", "interrupted", "failed", "uncommitted"]

INTERRUPTED: Final = "Round {number} was interrupted. It is played again."
FAILED: Final = (
    "Round {number} could not be played. Its actions are kept: it is played again {when}."
)
UNCOMMITTED: Final = (
    "Round {number} was not committed in time. Its actions are kept: it is played again {when}."
)
NO_BUDGET: Final = "Round {number} waits for the session's budget. It is played once there is room."
DELAYED: Final = "Round {number} cannot be played yet. It is tried again by itself."
GOES_ON: Final = "Round {number} waits no longer. It is played now."
WAITS: Final = "when somebody acts, or when it is forced on"


@dataclass(eq=False)
class RoundTurns:
    """`find` and `choice`: look up a turn, and the latest choice for what awaited its commit, by the turn's
    id. `now` gives epoch seconds."""

    _tables: TableStore
    _play: TablePlay
    _rooms: Rooms
    _find: Callable[[str], Awaitable[StoredTurn | None]]
    _choice: Callable[[str], Awaitable[Choice | None]]
    _now: Callable[[], float]

    async def begin(self, table: Table, found: Round) -> Round:
        """Start the turn of a closed round; the round behind it. Raises what a turn raises."""
        turn_id = await self._play.play_round(table, found) if found.deeds else None
        return await self._change(
            table,
            lambda known: known.next(turn_id) if known.key == found.key else None,
            _goes_on(table, found),
        )

    async def delay(self, table_id: int, error: Exception) -> None:
        """Tell the players, once, that the turn of their round cannot begin. Raises as the store does."""
        table, known = await self._tables.find(table_id), await self._tables.round(table_id)
        due = known.due_turn
        if table is None or due is None or due.delayed:
            return
        words = NO_BUDGET if isinstance(error, TokenBudgetExceeded) else DELAYED
        said = NewLine(table.dm_name, words.format(number=due.number), "system")
        await self._change(
            table, lambda now: now.with_delay() if now.number == known.number else None, said
        )

    async def settled(self, table: Table) -> Round:
        """The round, without one before it where the turn of that one has ended. Raises what a turn
        raises, where that one is played again."""
        known = await self._tables.round(table.id)
        while (before := known.before) is not None:
            if before.turn_id is None:
                known = await self._resume(table, before)
            elif (fate := await self._fate(before.turn_id)) == "open":
                break
            else:
                known = await self._settle(table, before, fate)
        return known

    async def _fate(self, turn_id: str) -> Fate:
        turn = await self._find(turn_id)
        cancelled = turn is not None and turn.status == "cancelled"
        return fate_of(turn, await self._choice(turn_id) if cancelled else None)

    async def _resume(self, table: Table, before: Round) -> Round:
        turn_id = await self._play.play_round(table, before)
        return await self._change(
            table,
            lambda known: known.with_turn(turn_id) if _is_before(known, before) else None,
            _goes_on(table, before),
        )

    async def _settle(self, table: Table, before: Round, fate: Fate) -> Round:
        seconds, key = _seconds(table, fate), secrets.token_urlsafe(18)
        until = self._now() + seconds if seconds else None
        players = await players_of(self._tables, table.id)
        again = fate == "interrupted" and before.failed == 0

        def settle(known: Round) -> Round | None:
            if not _is_before(known, before):
                return None
            if fate == "over":
                return known.with_turn(None)
            return known.again(key, players) if again else known.reopened(key, until)

        words = INTERRUPTED if again else UNCOMMITTED if fate == "uncommitted" else FAILED
        words = words.format(number=before.number, when=_when(before, seconds))
        said = None if fate == "over" else NewLine(table.dm_name, words, "system")
        return await self._change(table, settle, said)

    async def _change(
        self, table: Table, make: Callable[[Round], Round | None], said: NewLine | None = None
    ) -> Round:
        found = await self._tables.change_round(table.id, make, self._now(), said)
        if said is not None:
            self._rooms.said(table.id)
        return found


async def players_of(tables: TableStore, table_id: int) -> list[Seat]:
    """The seated players of a table."""
    return [seat for seat in await tables.seats(table_id) if seat.role == "player"]


def _seconds(table: Table, fate: Fate) -> int:
    """After how long it is played again, though nobody acts; 0: not at all, as where nobody was there to
    commit it."""
    return 0 if fate == "uncommitted" else table.rules.round_seconds


def _when(before: Round, seconds: int) -> str:
    failed = before.model_copy(update={"failed": before.failed + 1})
    return f"{WAITS}, or in {seconds} s" if seconds and failed.may_play_by_itself else WAITS


def _goes_on(table: Table, found: Round) -> NewLine | None:
    """What is said when the turn of the round begins."""
    if not found.delayed:
        return None
    return NewLine(table.dm_name, GOES_ON.format(number=found.number), "system")


def fate_of(turn: StoredTurn | None, choice: Choice | None) -> Fate:
    """What became of the turn of a round. `choice`: that has cancelled it. Of one that somebody has
    cancelled, nothing is kept; one that is kept no longer has ended long ago."""
    if choice is not None and choice.kind == "expire":
        return "uncommitted"
    if turn is None:
        return "over"
    if turn.finished_at is None:
        return "open"
    error = (turn.result or {}).get("error")
    if turn.status != "error" or error is None or error["committed"]:
        return "over"
    return "interrupted" if error["type"] == Interrupted.type else "failed"


def _is_before(known: Round, before: Round) -> bool:
    """Nobody has gone on from there."""
    there = known.before
    return there is not None and (there.key, there.turn_id) == (before.key, before.turn_id)
