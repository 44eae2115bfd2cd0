"""A round that somebody forces on while it is played already, and one that cannot be played."""

from __future__ import annotations

import asyncio
from typing import Any

from app.core.access import Caller
from app.core.rounds import Round
from app.core.table_prompt import Deed
from app.core.tables import Seat, TableRules, seated
from app.tables.round_turns import RoundTurns
from app.tables.rounds import TableRounds
from app.tables.visit import Visit

from fakes.store.store import MemoryTurnStore
from journal import NOON
from loops import in_loop

OWNER = "olga"


class Tables:
    """A store whose first answer for the round comes late."""

    def __init__(self, store: MemoryTurnStore) -> None:
        self._tables = store.tables
        self.late = asyncio.Event()
        self.read = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    async def round(self, table_id: int) -> Round:
        found = await self._tables.round(table_id)
        if not self.read.is_set():
            self.read.set()
            await self.late.wait()
        return found


class Play:
    """Notes the rounds that are played."""

    def __init__(self) -> None:
        self.rounds: list[int] = []
        self.broken: int | None = None

    def require_open(self, _: Any) -> None:
        """It is."""

    async def play_round(self, table: Any, found: Round) -> str:
        if table.id == self.broken:
            raise RuntimeError
        self.rounds.append(found.number)
        return f"turn of {found.key}"


def rounds_of(tables: Any, play: Play) -> TableRounds:
    """Their turns have ended, and are kept no longer."""
    nothing: Any = Any

    async def find(_: str) -> None:
        """There is none."""

    played = RoundTurns(tables, play, nothing, find, lambda: NOON)  # type: ignore[arg-type]
    given: Any = (nothing, tables, play, nothing, played, lambda: NOON)
    return TableRounds(*given)


@in_loop
async def test_round_that_two_force_on_at_once_is_played_and_none_behind_it() -> None:
    store = MemoryTurnStore(lambda: NOON)
    rules = TableRules(mode="rounds", absent="model")
    seat = Seat(OWNER, "Olga")
    table = await store.tables.create(seat, "T", "DM", rules, NOON)
    tables, play = Tables(store), Play()
    rounds = rounds_of(tables, play)
    visit = Visit(table, seat, seated(Caller(OWNER, frozenset({"tables"})), table, seat))
    slow = asyncio.create_task(rounds.force(visit))
    await tables.read.wait()
    assert (await rounds.force(visit)).round.number == 2
    tables.late.set()
    assert (await slow).round.number == 2
    assert play.rounds == [1]
    assert (await rounds.force(visit)).round.number == 3
    assert play.rounds == [1, 2]


@in_loop
async def test_round_that_cannot_be_played_keeps_none_of_another_table_from_it() -> None:
    store, play = MemoryTurnStore(lambda: NOON), Play()
    rounds = rounds_of(store.tables, play)
    seat = Seat(OWNER, "Olga")
    numbers, deed = [], Deed(user_id=OWNER, player_name="Olga", action="I knock.")
    for name in "ab":
        table = await store.tables.create(seat, name, "DM", TableRules(mode="rounds"), NOON)
        await store.tables.change_round(
            table.id, lambda known: known.begun(OWNER, "k", None).with_deed(deed), NOON
        )
        numbers.append(table.id)
    play.broken = numbers[0]
    await rounds._play_due()
    assert play.rounds == [1]
    assert [(await store.tables.round(one)).number for one in numbers] == [1, 2]
