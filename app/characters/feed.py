"""All turns of a character as one stream: each from its start to its end, one after another.

A feed keeps no queue: it is woken when a turn is admitted, and then asks the journal for the turns
after the one that it has read last.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from app.arrivals import Arrival
from app.characters.arrivals import Arrivals
from app.core.access import Action, Caller, may
from app.core.events import Entry, Metadata, encode_entry, ping, stamp
from app.errors import Overloaded, TurnExpired, TurnNotFound
from app.eventlog.reader import HEARTBEAT_SECONDS, Cursor
from app.ports.call import CallMeta
from app.ports.history import TurnJournal
from app.ports.journey_log import JourneyLog
from app.turns.service import TurnService

Batch = tuple[str, list[Entry]]
"""Entries of one turn, and its id."""


@dataclass(eq=False)
class CharacterFeed:
    """Iterates over batches until its reader leaves.

    It begins behind the event `resume` (`{turn_id}:{seq}`); without one, or where it names no turn of
    the character that the caller may read, with the running turn. Where the past ends, one
    `metadata{phase: live}` without a number follows; after `heartbeat` seconds of silence, a `ping`.
    `whole`: also the turn of the event `resume` is given from its start; `seen` of its entries the
    reader has had.
    """

    at_end = False
    complete = False

    _turns: TurnService
    _store: TurnJournal
    _arrival: Arrival
    _caller: Caller
    _character_id: str
    _resume: str = ""
    _heartbeat: float = HEARTBEAT_SECONDS
    _whole: bool = False
    _cursor: Cursor | None = field(default=None, init=False)
    _last: str | None = field(default=None, init=False)  # the turn that was read last
    _live: bool = field(default=False, init=False)
    _left: bool = field(default=False, init=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, init=False)
    seen: int = field(default=0, init=False)

    @property
    def position(self) -> int:
        return 0 if self._cursor is None else self._cursor.position

    @property
    def trimmed(self) -> bool:
        return self._cursor is not None and self._cursor.trimmed

    def leave(self) -> None:
        """The iteration ends, whatever it waits for."""
        self._left = True
        self._arrival.wake()
        if self._cursor is not None:
            self._cursor.leave()

    def close(self) -> None:
        """Nobody reads any more."""
        self._arrival.close()
        if self._cursor is not None:
            self._cursor.close()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        async with aclosing(self._first()) as batches:
            async for batch in batches:
                yield batch
        while not self._left:
            self._arrival.expect()
            fresh = await self._store.turns_since(
                self._caller.user_id, self._character_id, self._last
            )
            for turn_id, _ in fresh:
                async with aclosing(self._read(turn_id, 0)) as batches:
                    async for batch in batches:
                        yield batch
            if not fresh and not self._live:
                yield self._now_live()
            elif not fresh and not self._left and not await self._arrival.wait(self._heartbeat):
                yield "", [ping(stamp(time.time()))]

    async def _first(self) -> AsyncGenerator[Batch, None]:
        """The rest of the turn that the reader knows, else the running turn."""
        turn_id, _, seq = self._resume.rpartition(":")
        number = int(seq) if seq.isascii() and seq.isdigit() and len(seq) < 10 else None
        if number is None or not await self._is_of_character(turn_id):
            turn_id, number = await self._newest(), 0
        if turn_id:
            async with aclosing(self._read(turn_id, number)) as batches:
                async for batch in batches:
                    yield batch

    async def _is_of_character(self, turn_id: str) -> bool:
        turn = await self._store.turn(turn_id)
        return (
            turn is not None
            and turn.character_id == self._character_id
            and may(self._caller, Action.READ, turn.resource)
        )

    async def _newest(self) -> str:
        """The turn to begin with; empty where none is open, and the newest one counts as read."""
        whose = (self._caller.user_id, self._character_id)
        newest = await self._store.character_turns(*whose, 1)
        open_turns = await self._store.open_turns(*whose)
        self._last = newest[0].turn_id if newest else None
        return open_turns[0][0] if open_turns else ""

    async def _read(self, turn_id: str, after: int) -> AsyncGenerator[Batch, None]:
        """One turn to its end. What is no longer kept is passed over."""
        if self._left:
            return
        self._last = turn_id
        try:
            turn = await self._turns.open(turn_id, self._caller)
        except (TurnExpired, TurnNotFound):
            return
        except Overloaded:
            self._left = True
            return
        cursor = self._cursor = Cursor(turn.log, after, self._heartbeat, patient=True)
        self.parameters, self.seen = turn.parameters, cursor.seen
        if self._whole:
            cursor.position = 0
        try:
            while not self._live and not self._left and (past := cursor.take()):
                yield turn_id, past
                if cursor.trimmed:
                    return
            if not self._live and not cursor.at_end:
                yield self._now_live()
            async for batch in cursor:
                yield turn_id, batch
        finally:
            cursor.close()
            # The turn goes on elsewhere, or its log was trimmed: the reader must come back.
            self._left = self._left or not cursor.complete

    def _now_live(self) -> Batch:
        self._live = True
        return "", [encode_entry(0, Metadata("live"), stamp(time.time()))]


class CharacterFeeds:
    """Opens feeds. `arrivals` must observe what happens to turns."""

    def __init__(
        self, journey_log: JourneyLog, store: TurnJournal, turns: TurnService, arrivals: Arrivals
    ) -> None:
        self._journey_log = journey_log
        self._store = store
        self._turns = turns
        self._arrivals = arrivals

    async def open(
        self, caller: Caller, character_id: str, resume: str, meta: CallMeta, *, whole: bool = False
    ) -> CharacterFeed:
        """`resume`, `whole`: see `CharacterFeed`. Raises as reads of journey-log do."""
        await self.check(caller, character_id, meta)
        arrival = self._arrivals.waiting(caller.user_id, character_id)
        reading = (self._turns, self._store, arrival, caller, character_id, resume)
        return CharacterFeed(*reading, HEARTBEAT_SECONDS, whole)

    async def check(self, caller: Caller, character_id: str, meta: CallMeta) -> None:
        """Raises as reads of journey-log do where the character is none of the caller's."""
        if not await self._store.has_played(caller.user_id, character_id):
            await self._journey_log.adventure_prompt(caller.user_id, character_id, meta)
