"""A round that somebody forces on while it is played already, one that cannot be played, and one whose turn
has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from app.core.access import Caller
from app.core.rounds import Round
from app.core.table_prompt import Deed
from app.core.tables import Seat, TableRules, seated
from app.errors import LLMUnavailable, TokenBudgetExceeded
from app.ports.store import Choice, StoredTurn
from app.tables.postponed import LONGEST_PAUSE
from app.tables.round_turns import (
    DELAYED,
    GOES_ON,
    INTERRUPTED,
    NO_BUDGET,
    UNCOMMITTED,
    WAITS,
    RoundTurns,
)
from app.tables.rounds import LOOK_SECONDS, TableRounds
from app.tables.visit import Visit
from structlog.testing import capture_logs

from fakes.store.journal import Journal
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
        self.broken: dict[int, Exception] = {}
        self.keys: set[str] = set()
        self.open: dict[str, StoredTurn] = {}  # where turns that begin are kept
        self.tried = 0

    def require_open(self, _: Any) -> None:
        """It is."""

    async def play_round(self, table: Any, found: Round) -> str:
        self.tried += 1
        if table.id in self.broken:
            raise self.broken[table.id]
        turn_id = f"turn of {found.key}"
        self.rounds.append(found.number)
        self.keys.add(found.key)
        self.open.setdefault(turn_id, StoredTurn(turn_id, OWNER, "", "running", NOON))
        return turn_id


class Silent:
    """Rooms in which nobody is."""

    def said(self, _: int) -> None:
        """Nobody hears it."""


def rounds_of(
    tables: Any,
    play: Play,
    ends: Mapping[str, StoredTurn] | None = None,
    now: Callable[[], float] = lambda: NOON,
    choice: Choice | None = None,
) -> TableRounds:
    """`ends`: the turns by their ids; others have ended, and are kept no longer. `choice`: for each of
    them."""
    known = {} if ends is None else ends

    async def find(turn_id: str) -> StoredTurn | None:
        return known.get(turn_id)

    async def chosen(_: str) -> Choice | None:
        return choice

    given: Any = (tables, play, Silent(), find, chosen, now)
    played = RoundTurns(*given)
    given = (Any, tables, play, Silent(), played, now)
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


async def due_round(store: MemoryTurnStore, name: str = "a") -> int:
    """A table whose only player has acted."""
    seat = Seat(OWNER, "Olga")
    deed = Deed(user_id=OWNER, player_name="Olga", action="I knock.")
    table = await store.tables.create(seat, name, "DM", TableRules(mode="rounds"), NOON)
    await store.tables.change_round(
        table.id, lambda known: known.begun(OWNER, "k", None).with_deed(deed), NOON
    )
    return table.id


@in_loop
async def test_round_that_cannot_be_played_keeps_none_of_another_table_from_it() -> None:
    store, play = MemoryTurnStore(lambda: NOON), Play()
    rounds = rounds_of(store.tables, play)
    numbers = [await due_round(store, name) for name in "ab"]
    play.broken[numbers[0]] = RuntimeError()
    await rounds._play_due()
    assert play.rounds == [1]
    assert [(await store.tables.round(one)).number for one in numbers] == [1, 2]


@pytest.mark.parametrize(
    ("error", "tries", "words"),
    [
        (TokenBudgetExceeded(), 18, NO_BUDGET),
        (RuntimeError(), 18, DELAYED),
        (LLMUnavailable(), 720, DELAYED),
    ],
    ids=["budget", "unexpected", "in a moment"],
)
@in_loop
async def test_round_that_cannot_be_played_is_tried_ever_later_and_told_and_logged_once(
    error: Exception, tries: int, words: str
) -> None:
    """Looked at every five seconds for an hour. Players know that it waits, and when it goes on."""
    clock = [NOON]
    store, play = MemoryTurnStore(lambda: NOON), Play()
    rounds, table_id = rounds_of(store.tables, play, now=lambda: clock[0]), await due_round(store)
    play.broken[table_id] = error
    with capture_logs() as logs:
        for _ in range(720):
            assert await rounds._play_due() <= LOOK_SECONDS
            clock[0] += LOOK_SECONDS
    assert play.tried == pytest.approx(tries, abs=1)
    assert [one["event"] for one in logs] == ["round_not_played"]
    assert await said(store, table_id) == [words.format(number=1)]
    play.broken.clear()
    for _ in range(int(LONGEST_PAUSE / LOOK_SECONDS) + 1):
        await rounds._play_due()
        clock[0] += LOOK_SECONDS
    assert play.rounds == [1]
    assert await said(store, table_id) == [words.format(number=1), GOES_ON.format(number=1)]


@in_loop
async def test_nobody_hears_of_a_round_that_is_played_at_the_second_try() -> None:
    clock = [NOON]
    store, play = MemoryTurnStore(lambda: NOON), Play()
    rounds, table_id = rounds_of(store.tables, play, now=lambda: clock[0]), await due_round(store)
    play.broken[table_id] = LLMUnavailable()
    await rounds._play_due()
    del play.broken[table_id]
    clock[0] += LOOK_SECONDS
    await rounds._play_due()
    assert play.rounds == [1]
    assert await said(store, table_id) == []


@in_loop
async def test_interrupted_round_that_has_no_budget_to_be_played_again_is_told_once() -> None:
    clock, ends = [NOON], dict[str, StoredTurn]()
    store, play = MemoryTurnStore(lambda: NOON), Play()
    rounds = rounds_of(store.tables, play, ends, now=lambda: clock[0])
    table_id = await due_round(store)
    await rounds._play_due()
    (turn_id,) = play.open
    ended = StoredTurn(turn_id, OWNER, "", "error", NOON, finished_at=NOON)
    ended.result = {"error": {"type": "interrupted", "committed": []}}
    ends[turn_id] = ended
    play.open = ends
    play.broken[table_id] = TokenBudgetExceeded()
    for _ in range(60):
        await rounds._play_due()
        clock[0] += LOOK_SECONDS
    del play.broken[table_id]
    await rounds.play_due(table_id)
    again, *told = await said(store, table_id)
    assert again == INTERRUPTED.format(number=1)
    assert told == [NO_BUDGET.format(number=1), GOES_ON.format(number=1)]
    assert len(play.keys) == 2


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (None, []),  # the X card
        (Choice("cancel"), []),  # a veto
        (Choice("commit"), []),
        (Choice("expire"), [UNCOMMITTED.format(number=1, when=WAITS)]),
    ],
    ids=lambda choice: choice.kind if isinstance(choice, Choice) else "",
)
@in_loop
async def test_round_that_nobody_commits_in_time_keeps_its_deeds_until_somebody_is_there(
    choice: Choice | None, words: list[str]
) -> None:
    clock, ends = [NOON], dict[str, StoredTurn]()
    store, play = MemoryTurnStore(lambda: NOON), Play()
    rounds = rounds_of(store.tables, play, ends, now=lambda: clock[0], choice=choice)
    table_id = await due_round(store)
    await rounds._play_due()
    (turn_id,) = play.open
    ends[turn_id] = StoredTurn(turn_id, OWNER, "", "cancelled", NOON, finished_at=NOON)
    for _ in range(60):
        await rounds._play_due()
        clock[0] += LOOK_SECONDS
    assert await said(store, table_id) == words
    found = await store.tables.round(table_id)
    assert [deed.action for deed in found.deeds] == (["I knock."] if words else [])
    assert (found.number, found.until, play.rounds) == (1 if words else 2, None, [1])


async def said(store: MemoryTurnStore, table_id: int) -> list[str]:
    return [line.said.content for line in await store.tables.lines(table_id, OWNER, 99)]


@in_loop
async def test_round_without_budget_is_tried_when_the_rules_of_its_table_change() -> None:
    clock = [NOON]
    store, play = MemoryTurnStore(lambda: NOON), Play()
    rounds, table_id = rounds_of(store.tables, play, now=lambda: clock[0]), await due_round(store)
    play.broken[table_id] = TokenBudgetExceeded()
    with capture_logs() as logs:
        for _ in range(60):
            await rounds._play_due()
            clock[0] += LOOK_SECONDS
        tried = play.tried
        await rounds._play_due()
        assert play.tried == tried
        await store.tables.change(table_id, lambda known: known.ruled(token_budget=7))
        play.broken[table_id] = LLMUnavailable()
        await rounds._play_due()
        assert play.tried == tried + 1
    assert [one["error_type"] for one in logs] == ["token_budget_exceeded", "llm_unavailable"]
    del play.broken[table_id]
    clock[0] += LOOK_SECONDS
    await rounds._play_due()
    assert play.rounds == [1]


@pytest.mark.parametrize(("error_type", "times"), [("interrupted", 2), ("llm_timeout", 1)])
@in_loop
async def test_two_processes_take_up_a_failed_round_once(error_type: str, times: int) -> None:
    """An interrupted one is played again; and by nobody once more, since that turn is open."""
    journal, ends = Journal(), dict[str, StoredTurn]()
    stores = [MemoryTurnStore(lambda: NOON, journal) for _ in range(2)]
    tables, play, table_id = stores[0].tables, Play(), await due_round(stores[0])
    processes = [rounds_of(one.tables, play, ends) for one in stores]
    await processes[0]._play_due()
    played = (await tables.round(table_id)).before
    assert played is not None
    assert played.turn_id is not None
    ended = StoredTurn(played.turn_id, OWNER, "", "error", NOON, finished_at=NOON)
    ended.result = {"error": {"type": error_type, "committed": []}}
    play.open = ends
    ends[played.turn_id] = ended
    await asyncio.gather(*(one._play_due() for one in processes * 2))
    assert len(await said(stores[0], table_id)) == 1
    found = await tables.round(table_id)
    assert [deed.action for deed in (found.before or found).deeds] == ["I knock."]
    assert len(play.keys) == times
