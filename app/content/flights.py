"""Requests under way: others for the same read the same turn, whichever process runs it.

Within a process the first request is awaited. Of the processes, one says in what they share that it is at
work, with the turn once it was admitted, and repeats that while the turn runs. A turn that has ended, as it
does soon after its process has died, is at work no more, whatever stands there.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Self, TypeAlias

from app.core.access import Caller
from app.core.encoding import dump
from app.core.stages import Stage
from app.errors import DungeonMasterError, TurnExpired, TurnNotFound
from app.ports.answers import Answers
from app.turns.open_turn import OpenTurn
from app.turns.service import TurnService

Start: TypeAlias = Callable[[], Awaitable[OpenTurn]]
IsKnown: TypeAlias = Callable[[], Awaitable[bool]]

ADMITTING_SECONDS: Final = 10.0
RUNNING_SECONDS: Final = 60.0
PAUSE: Final = 0.02  # seconds between two looks at a request that is being admitted elsewhere


class Holder(NamedTuple):
    """The holder of a flight, as all processes read it. `turn_id` is empty until the turn is
    admitted."""

    token: str
    user_id: str
    turn_id: str = ""

    @property
    def encoded(self) -> str:
        return dump(list(self))

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(*json.loads(text))


class Flight(NamedTuple):
    """A request under way. `turn`: what answers it, once it was admitted; None: somebody else has answered
    it meanwhile."""

    user_id: str
    turn: asyncio.Task[OpenTurn | None]


class Flights:
    """Requests under way by their keys."""

    def __init__(self, answers: Answers, turns: TurnService) -> None:
        self._answers = answers
        self._turns = turns
        self._flights: dict[bytes, Flight] = {}
        self._held: dict[bytes, Holder] = {}

    async def joined(self, key: bytes, user_id: str) -> OpenTurn | None:
        """The turn that is answering the same request; None where nothing is under way any more, perhaps
        since it was refused, or belongs to somebody else and is over now."""
        if (flight := self._flights.get(key)) is None:
            return None
        try:
            turn = await asyncio.shield(flight.turn)
        except DungeonMasterError:
            return None
        if turn is None or is_over(turn):
            self._forget(key, flight)
            return None
        if flight.user_id == user_id:
            return turn
        await self._turns.wait_ended(turn)
        return None

    def under_way(self, key: bytes) -> bool:
        """Whether somebody is about to have the answer."""
        return key in self._flights

    async def begin(
        self, key: bytes, user_id: str, start: Start, is_known: IsKnown
    ) -> OpenTurn | None:
        """Answer the request; nobody else in this process may be under way with it. None: it is known now.
        Raises as `start` does."""
        # It goes on for the others where the first one leaves.
        task = asyncio.create_task(self._begun(key, user_id, start, is_known))
        flight = self._flights[key] = Flight(user_id, task)
        task.add_done_callback(lambda _: self._settle(key, flight))
        return await asyncio.shield(task)

    def _settle(self, key: bytes, flight: Flight) -> None:
        """Others find nothing under way where it has failed."""
        if flight.turn.cancelled() or flight.turn.exception() is not None:
            self._forget(key, flight)

    async def _begun(
        self, key: bytes, user_id: str, start: Start, is_known: IsKnown
    ) -> OpenTurn | None:
        mine = Holder(secrets.token_hex(8), user_id)
        turn = await self._elsewhere(key, mine)
        if turn is not None:
            return turn
        if await is_known():
            await self._give_up(key, mine)
            return None
        try:
            turn = await start()
        except BaseException:
            await self._give_up(key, mine)
            raise
        self._held[key] = named = mine._replace(turn_id=turn.turn_id)
        await self._answers.replace(key, mine.encoded, named.encoded, RUNNING_SECONDS)
        return turn

    async def _elsewhere(self, key: bytes, mine: Holder) -> OpenTurn | None:
        """The turn of the same user that runs in another process; None once `mine` is at work."""
        over = ""
        while held := await self._answers.replace(key, over, mine.encoded, ADMITTING_SECONDS):
            holder, over = Holder.of(held), ""
            if not holder.turn_id:
                await asyncio.sleep(PAUSE)
                continue
            turn = await self._open(holder)
            if turn is None or is_over(turn):
                over = held
            elif holder.user_id == mine.user_id:
                return turn
            else:
                await self._turns.wait_ended(turn)
        return None

    async def _open(self, holder: Holder) -> OpenTurn | None:
        try:
            return await self._turns.open(
                holder.turn_id, Caller(holder.user_id, frozenset({"content"}))
            )
        except (TurnExpired, TurnNotFound):
            return None

    async def land(self) -> None:
        """Forget those that are over, and say of the others that they are at work."""
        for key, flight in list(self._flights.items()):
            if flight.turn.done() and _has_landed(flight):
                self._forget(key, flight)
        for key, held in list(self._held.items()):
            if key in self._flights:
                await self._answers.replace(key, held.encoded, held.encoded, RUNNING_SECONDS)
            else:
                del self._held[key]
                await self._give_up(key, held)

    async def _give_up(self, key: bytes, mine: Holder) -> None:
        await self._answers.replace(key, mine.encoded, "", 0)

    def _forget(self, key: bytes, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def is_over(turn: OpenTurn) -> bool:
    """Whether it runs no more, wherever it did."""
    if turn.running is None:
        return turn.log.closed
    return turn.running.stage is Stage.ENDED


def _has_landed(flight: Flight) -> bool:
    turn = flight.turn.result()
    return turn is None or is_over(turn)
