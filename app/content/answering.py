"""Requests for content on their way to an answer: one that is known, one under way, or a new one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.content.asking import ContentAsked
from app.content.copies import Copies
from app.content.flights import Flights
from app.content.kind import Kind
from app.content.known import KnownAnswer, KnownAnswers, whose
from app.core.access import Caller
from app.core.encoding import encode
from app.errors import TurnExpired, TurnNotFound
from app.ports.turn import TurnRequest
from app.turns.open_turn import OpenTurn
from app.turns.service import TurnService

MAX_SPELLINGS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Answering:
    """A turn that answers. `hit`: no model was asked for this request."""

    turn: OpenTurn
    hit: bool


@dataclass(eq=False)
class ContentAnswers:
    """`models`: those that a request may name; the first is the service's own."""

    _turns: TurnService
    _known: KnownAnswers
    _copies: Copies
    _flights: Flights
    _models: Sequence[str]
    _spellings: dict[bytes, bytes] = field(default_factory=dict, init=False)

    def model_named(self, name: str | None) -> str:
        """The name, where it is one of ours; else empty, for the service's own model."""
        return name if name in self._models and name is not None else ""

    def key(self, asked: ContentAsked, request: TurnRequest) -> bytes:
        """See `KnownAnswers.key`."""
        return self._known.key(asked, request.user_id, request.model or self._models[0])

    async def spelled(self, kind: Kind[Any, Any], user_id: str, raw: bytes) -> bytes | None:
        """The user's own answer to a request whose body is letter for letter one that was answered from the
        cache before."""
        spelling = _spelling(kind, user_id, raw)
        if (key := self._spellings.get(spelling)) is None:
            return None
        found = await self._known.get(kind, key, user_id, counted=False)
        if found is None or not found.is_of(user_id):
            del self._spellings[spelling]
            return None
        self._known.count_hit(kind)
        return found.body

    def _note(self, spelling: bytes, key: bytes) -> None:
        self._spellings[spelling] = key
        if len(self._spellings) > MAX_SPELLINGS:
            del self._spellings[next(iter(self._spellings))]

    async def whole(
        self, asked: ContentAsked, request: TurnRequest, raw: bytes = b""
    ) -> Answering | bytes:
        """The answer as JSON, where it is known; else the turn that answers. `raw`: the request's body.
        Raises as `start` of turns."""
        if _by_itself(asked, request):
            return await self._new(asked, request)
        key = self.key(asked, request)
        while True:
            found = await self._known.get(asked.kind, key, request.user_id)
            if found is not None and not found.is_of(request.user_id):
                return encode(await self._copies.body(asked, request.user_id, found))
            if found is not None:
                if raw and asked.body.parent_content_id is None:  # which may be gone the next time
                    self._note(_spelling(asked.kind, request.user_id, raw), key)
                return found.body
            if (answering := await self._under_way(asked, key, request)) is not None:
                return answering

    async def streamed(
        self, asked: ContentAsked, request: TurnRequest, caller: Caller
    ) -> Answering:
        """The turn whose answer is known, while its events are kept; else as `whole`."""
        if _by_itself(asked, request) or request.last_event_id:
            return await self._new(asked, request)
        key = self.key(asked, request)
        while True:
            known = await self._known.get(asked.kind, key, request.user_id)
            if known is not None:
                return await self._replayed(asked, request, known, caller)
            if (answering := await self._under_way(asked, key, request)) is not None:
                return answering

    async def _replayed(
        self, asked: ContentAsked, request: TurnRequest, known: KnownAnswer, caller: Caller
    ) -> Answering:
        """The turn that ended with it, or with the user's copy of it, while its events are kept."""
        own, user_id = known.is_of(request.user_id), request.user_id
        ended = known.reply["content_id"] if own else await self._copies.kept(known, user_id)
        if ended is not None:
            with suppress(TurnExpired, TurnNotFound):
                return Answering(await self._turns.open(ended, caller), hit=True)
        made = await self._new(asked, request)
        if not own:
            await self._copies.note(known, user_id, made.turn.turn_id)
        return made

    async def _under_way(
        self, asked: ContentAsked, key: bytes, request: TurnRequest
    ) -> Answering | None:
        """The turn that is at work on the answer, or a new one; None: look again."""
        if self._flights.under_way(key):
            joined = await self._flights.joined(key, request.user_id)
            return None if joined is None else Answering(replace(joined, headers={}), hit=True)

        async def start() -> OpenTurn:
            return await self._turns.start(request)

        async def is_known() -> bool:
            found = await self._known.get(asked.kind, key, request.user_id, counted=False)
            return found is not None

        begun = await self._flights.begin(key, request.user_id, start, is_known)
        return None if begun is None else Answering(begun, hit=begun.running is None)

    async def _new(self, asked: ContentAsked, request: TurnRequest) -> Answering:
        """A turn of its own, which takes its answer from the cache, too."""
        key = self.key(asked, request)
        known = asked.cache and await self._known.get(asked.kind, key, request.user_id)
        return Answering(await self._turns.start(request), hit=bool(known))


def _spelling(kind: Kind[Any, Any], user_id: str, raw: bytes) -> bytes:
    return hashlib.sha256(whose(user_id) + kind.name.encode() + b"\n" + raw).digest()


def _by_itself(asked: ContentAsked, request: TurnRequest) -> bool:
    """A request with a key is a turn of its own, and so is one that wants a new answer."""
    return not asked.cache or request.idempotency_key is not None
