"""Rounds: the players' actions are collected; then one turn plays all of them, exactly once.

A round is a document in the store, and its turn has the round's idempotency key: whoever closes a round,
in whatever process and however often, starts the same turn. The next one is collected meanwhile, and played
once that turn has ended.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from app.core.rounds import Round
from app.core.table_prompt import Deed, Occurrence
from app.core.tables import KIND, ROUND, NewLine, Seat, Table
from app.core.text import scrub_surrogates
from app.errors import DungeonMasterError, NotFound, NothingToPlay, TurnInProgress
from app.ports.store import TurnRequest
from app.ports.tables import TableChanged, TableStore
from app.tables.deed_lines import deed_line, key_of
from app.tables.play import TablePlay
from app.tables.postponed import PostponedRounds
from app.tables.rooms import Rooms
from app.tables.round_turns import RoundTurns, players_of
from app.tables.service import TableService
from app.tables.visit import Visit
from app.turns.observe import TurnEnded
from app.turns.open_turn import OpenTurn

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 5.0
"""How often open rounds are looked at, beside at their deadlines."""


@dataclass(frozen=True, slots=True)
class RoundSeen:
    """A round with the players of its table."""

    round: Round
    players: list[Seat]


@dataclass(eq=False)
class TableRounds:
    """Takes deeds as the table's mode says. `now` gives epoch seconds."""

    _service: TableService
    _tables: TableStore
    _play: TablePlay
    _rooms: Rooms
    _turns: RoundTurns
    _now: Callable[[], float]
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _postponed: PostponedRounds = field(init=False)

    def __post_init__(self) -> None:
        self._postponed = PostponedRounds(self._tables, self._now)

    # -- deeds ------------------------------------------------------------------------------------

    async def act(
        self,
        visit: Visit,
        asked: TurnRequest,
        occurrence: Occurrence,
        field: str,
        *,
        echoed: bool = False,
    ) -> OpenTurn | RoundSeen:
        """The turn of the deed, or the round that it was added to. `field`: the name of its words in the
        request; `echoed`: see `TablePlay.act`. Raises what a turn raises, and `ValidationError` for what
        the table keeps out.

        A deed that is repeated with its idempotency key is what it was at first, whatever the mode is now.
        """
        request = self._play.asked(visit, asked, occurrence)
        key = key_of(request)
        known = None if key is None else await self._tables.deed(key, self._now())
        if known is not None and ROUND in (known.said.data or {}):
            return await self.look(visit)
        plays = visit.seat is not None and visit.seat.role == "player"
        if (
            visit.table.rules.mode == "turns"
            or occurrence.occasion == "start"
            or not plays
            or known
        ):
            return await self._play.act(visit, request, occurrence, field, echoed=echoed)
        return await self._collect(visit, request, occurrence, field)

    async def _collect(
        self, visit: Visit, asked: TurnRequest, occurrence: Occurrence, field: str
    ) -> RoundSeen:
        known = await self._tables.round(visit.table.id)
        if known.has(visit.caller.user_id, asked.idempotency_key):
            return await self._seen(visit.table, known)
        await self._play.require_lines(visit, asked, occurrence, field)
        taken = await self._play.take(visit.table, asked)
        try:
            found = await self._added(visit, asked, occurrence)
        except BaseException:
            await taken.give_back()
            raise
        await self.play_due(visit.table.id)
        return await self._seen(visit.table, found)

    async def _added(self, visit: Visit, asked: TurnRequest, occurrence: Occurrence) -> Round:
        for _ in range(2):
            found = await self._add(visit, asked, occurrence)
            if not found.closed:
                return found
            await self._play_if_over(visit.table.id)  # a round that could not be played before
        raise TurnInProgress("The round before is about to be played.")

    async def _add(self, visit: Visit, asked: TurnRequest, occurrence: Occurrence) -> Round:
        """The round with the deed in it, shown to everybody; a closed one is left as it is."""
        now, seconds = self._now(), visit.table.rules.round_seconds
        until, key = now + seconds if seconds else None, secrets.token_urlsafe(18)
        user_id, own = visit.caller.user_id, asked.idempotency_key

        def add(known: Round, index: int) -> tuple[Round, NewLine] | None:
            if known.closed or known.has(user_id, own):
                return None
            action, made = self._play.made(visit.table, index, asked.user_action, occurrence)
            deed = _deed(visit, replace(asked, user_action=action), made)
            line = deed_line(user_id, action, made, known.number)
            return known.begun(user_id, key, until).with_deed(deed, own), line

        found = await self._tables.collect(visit.table.id, add, now, key_of(asked))
        if not found.closed:
            self._rooms.said(visit.table.id)
            self._changed.set()
        return found

    # -- the round --------------------------------------------------------------------------------

    async def look(self, visit: Visit) -> RoundSeen:
        """The actions of the round so far."""
        return await self._seen(visit.table, await self._tables.round(visit.table.id))

    async def _seen(self, table: Table, found: Round) -> RoundSeen:
        return RoundSeen(found, await players_of(self._tables, table.id))

    async def set_away(self, visit: Visit, user_id: str | None, *, away: bool) -> RoundSeen:
        """Let no round wait for a player, or for the caller, until they are back. Raises `Forbidden`,
        `NotFound`."""
        whom = user_id or visit.caller.user_id
        if whom != visit.caller.user_id:
            visit.require(*visit.table.management)
        players = await players_of(self._tables, visit.table.id)
        name = next((seat.player_name for seat in players if seat.user_id == whom), None)
        if name is None:
            raise NotFound("There is no such player.")

        def change(known: Round) -> Round | None:
            return None if (whom in known.away) == away else known.with_away(whom, away=away)

        words = f"{name} is {'away' if away else 'back'}."
        said = NewLine(visit.table.dm_name, words, "system")
        found = await self._tables.change_round(visit.table.id, change, self._now(), said)
        self._rooms.said(visit.table.id)
        await self.play_due(visit.table.id)
        return await self._seen(visit.table, found)

    async def force(self, visit: Visit) -> RoundSeen:
        """Play the round now, whoever is missing. Raises `Forbidden`, `NothingToPlay`, and what a turn
        raises."""
        visit.require(*visit.table.management)
        self._play.require_open(visit.table)
        known = await self._tables.round(visit.table.id)
        if not known.opened and visit.table.rules.absent == "skip":
            raise NothingToPlay
        forced = visit.caller.user_id, known.number
        following = await self._play_if_over(visit.table.id, forced)
        found = following or await self._tables.round(visit.table.id)
        return await self._seen(visit.table, found)

    async def _play_if_over(
        self, table_id: int, forced: tuple[str, int] | None = None
    ) -> Round | None:
        """Start the turn of a round that is over; the round behind it. None: it is not over. `forced`: by
        whom, and which round: the one behind it is not.

        Raises what a turn raises; the round is then played later.
        """
        table = await self._tables.find(table_id)
        if table is None or not table.is_active or table.rules.paused:
            return None
        known = await self._turns.settled(table)
        if known.before is not None and forced is None:
            return None
        found = await self._closed(table, forced)
        if not found.closed:
            return None
        return await self._turns.begin(table, found)

    async def _closed(self, table: Table, forced: tuple[str, int] | None) -> Round:
        """The round, closed if it is over or `forced`; while the turn of the round before is played, it is
        closed later."""
        opener, number = forced or (table.owner, None)
        players, now = await players_of(self._tables, table.id), self._now()
        known = await self._tables.round(table.id)
        in_turns = table.rules.mode == "turns"  # there are no rounds any more: this is the last one

        def is_over(known: Round) -> bool:
            last = known.opened and in_turns and not known.failed and known.before is None
            return last or known.number == number or known.is_over(players, now)

        if not (known.closed or is_over(known)):
            return known
        key = secrets.token_urlsafe(18)

        def close(known: Round) -> Round | None:
            if known.closed or not is_over(known):
                return None
            begun = known.begun(opener, key, None)
            if known.before is not None:
                return begun.model_copy(update={"forced": True})
            return begun.close(players, table.rules.absent)

        return await self._tables.change_round(table.id, close, now)

    # -- deadlines --------------------------------------------------------------------------------

    def observe(self, observation: object) -> None:
        """Takes note of rounds whose turn has ended, and that wait for other players or may go on: the
        journal knows it by then."""
        if isinstance(observation, TableChanged):
            self._changed.set()
        if not isinstance(observation, TurnEnded):
            return
        request = observation.turn.request
        if request.kind == KIND:  # what was set aside for it is there again
            self._postponed.forget(int(request.resource_owner.id))
        if request.taken_before:
            self._changed.set()

    async def run(self) -> None:
        """Play rounds that are over, for as long as the service runs."""
        while True:
            self._changed.clear()
            seconds = await self._play_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()

    async def _play_due(self) -> float:
        """Seconds until there may be more to do."""
        deadlines: list[float] = []
        try:
            due = [table_id for table_id, _ in await self._tables.rounds_due()]
            self._postponed.keep(due)
            for table_id in due:
                if not await self._postponed.waits(table_id):
                    await self.play_due(table_id)
            deadlines = [until for _, until in await self._tables.rounds_due()]
        except DungeonMasterError as error:
            log.warning("rounds_not_read", error_type=error.type)
        now = self._now()
        return min([LOOK_SECONDS, *(until - now for until in deadlines if until > now)])

    async def play_due(self, table_id: int) -> bool:
        """Play the round if it is over. False: it is not, or could not be played yet."""
        try:
            played = await self._play_if_over(table_id) is not None
        except Exception as error:  # of this table: those of others are played
            if self._postponed.postpone(table_id, error):
                with suppress(Exception):  # they are told at the next try
                    await self._turns.delay(table_id, error)
            return False
        self._postponed.forget(table_id)
        return played


def _deed(visit: Visit, asked: TurnRequest, occurrence: Occurrence) -> Deed:
    seat = visit.seat
    return Deed(
        user_id=visit.caller.user_id,
        player_name=scrub_surrogates(occurrence.player_name),
        action=scrub_surrogates(asked.user_action),
        character_id=None if seat is None else seat.character_id,
        roll=occurrence.roll,
        references=asked.references,
    )
