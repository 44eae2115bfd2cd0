"""Answers that are known already, and requests for the same that are under way.

The same request of the same user is answered from the cache while its answer is fresh. While it is being
answered, others for the same read the same turn: however many come, the model is asked once. Answers are
given to other users only where the settings say so, each as content of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from app.content.asking import ContentAsked
from app.content.prompt import instructions
from app.core.encoding import dump
from app.core.stages import Stage
from app.errors import DungeonMasterError
from app.generation.answer_cache import AnswerCache, digest, normal
from app.turns.open_turn import OpenTurn

MAX_REMEMBERED: Final = 10_000


class KnownAnswer(NamedTuple):
    """`body`: JSON."""

    user_id: str
    body: str


class KnownAnswers:
    """`caches`: by what an answer is charged as. `shared`: other users may have an answer, too."""

    def __init__(self, caches: Mapping[str, AnswerCache], *, shared: bool) -> None:
        self.caches = caches
        self._shared = shared
        self._keys: dict[str, bytes] = {}  # by the content's id

    def key(self, asked: ContentAsked, user_id: str, model: str) -> bytes:
        """What makes two requests the same. What the model is told counts, so that another release with
        another prompt has other answers."""
        kind, body = asked.kind, asked.body
        asked_for = {**body.stored, "model": body.model.model_dump(exclude={"name"})}
        same = asked_for if kind.exact else _normal(asked_for)
        whose = "" if self._shared else user_id
        told = instructions(kind, body), kind.schema.schema
        return digest([whose, kind.name, model, told, same])

    def get(self, asked: ContentAsked, key: bytes, *, counted: bool = True) -> KnownAnswer | None:
        """The answer, while it is fresh."""
        cache = self.caches[asked.kind.charged]
        found = cache.get(key) if counted else cache.peek(key)
        if found is None:
            return None
        user_id, _, body = found.partition("\n")
        return KnownAnswer(user_id, body)

    def put(self, asked: ContentAsked, key: bytes, user_id: str, body: dict[str, Any]) -> None:
        """Keep an answer."""
        self.caches[asked.kind.charged].put(key, f"{user_id}\n{dump(body)}")
        self._keys[body["content_id"]] = key
        if len(self._keys) > MAX_REMEMBERED:
            del self._keys[next(iter(self._keys))]

    def forget(self, content_id: str) -> None:
        """Content that was removed is given to nobody any more."""
        key = self._keys.pop(content_id, None)
        if key is not None:
            for cache in self.caches.values():
                cache.drop(key)


def _normal(value: Any) -> Any:
    match value:
        case str():
            return normal(value)
        case list():
            return [_normal(part) for part in value]
        case dict():
            return {name: _normal(part) for name, part in value.items()}
        case _:
            return value


class Flight(NamedTuple):
    """A request under way. `turn`: what answers it, once it was admitted."""

    user_id: str
    turn: asyncio.Future[OpenTurn]


class Flights:
    """Requests under way by their keys."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}

    async def joined(self, key: bytes, user_id: str) -> OpenTurn | None:
        """The turn that is answering the same request; None where nothing is under way any more, perhaps
        since it was refused, or belongs to somebody else and is over now."""
        flight = self._flights.get(key)
        if flight is None:
            return None
        try:
            turn = await asyncio.shield(flight.turn)
        except DungeonMasterError:
            return None
        if turn.running is None or turn.running.stage is Stage.ENDED:
            self._forget(key, flight)
            return None
        if flight.user_id == user_id:
            return turn
        await turn.running.wait_ended()
        return None

    def under_way(self, key: bytes) -> bool:
        """Whether somebody is about to have the answer."""
        return key in self._flights

    async def begin(
        self, key: bytes, user_id: str, start: Callable[[], Awaitable[OpenTurn]]
    ) -> OpenTurn:
        """Answer the request; nobody else may be under way with it. Raises as `start` does."""
        flight = Flight(user_id, asyncio.get_running_loop().create_future())
        self._flights[key] = flight
        try:
            turn = await start()
        except BaseException as error:
            self._forget(key, flight)
            if isinstance(error, DungeonMasterError):
                flight.turn.set_exception(error)
                flight.turn.exception()  # nobody may be waiting for it
            else:
                flight.turn.cancel()
            raise
        flight.turn.set_result(turn)
        return turn

    async def land(self) -> None:
        """Forget those that are over."""
        for key, flight in list(self._flights.items()):
            if flight.turn.done() and _is_over(flight.turn.result()):
                self._forget(key, flight)

    def _forget(self, key: bytes, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _is_over(turn: OpenTurn) -> bool:
    return turn.running is None or turn.running.stage is Stage.ENDED


def body_of(known: KnownAnswer) -> dict[str, Any]:
    """As it was given."""
    body: dict[str, Any] = json.loads(known.body)
    return body
