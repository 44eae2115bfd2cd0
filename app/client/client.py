"""The client itself, on asyncio."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from types import TracebackType
from typing import Any, Final

import httpx

from app.client.errors import Refused, Unreachable
from app.client.streams import Place, events_of
from app.core.wire import TurnEvent

PATIENCE: Final = 60.0
SILENCE: Final = 45.0  # the service breaks every silence after 10 s
PAUSE, LONGEST_PAUSE = 0.2, 5.0
JUST_BUSY: Final = frozenset({429, 502, 503, 504})
Ask = Callable[[], AbstractAsyncContextManager[httpx.Response]]


class Client:
    """`token`: of AUTH_MODE=jwt; `user`: of X-User-Id without it. `patience`: seconds for which a broken
    stream is taken up again without hearing anything new.

    Every method raises `Refused` and `Unreachable`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        user: str | None = None,
        patience: float = PATIENCE,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers.update({} if user is None else {"X-User-Id": user})
        self._patience = patience
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=SILENCE, transport=transport
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    # -- turns ------------------------------------------------------------------------------------

    def turn(
        self,
        character_id: str,
        action: str,
        *,
        key: str | None = None,
        dry_run: bool = False,
        manual: bool = False,
    ) -> AsyncGenerator[TurnEvent, None]:
        """Takes a turn; its events up to the terminal one, each once, over whatever breaks on the way.

        `key`: the idempotency key; by default one of its own, so that it is never played twice. `manual`:
        it awaits `commit` or `retell`. Text before `metadata` of phase `retelling` does not count.
        """
        body = {"character_id": character_id, "user_action": action, "dry_run": dry_run}
        body |= {"commit": "manual"} if manual else {}
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self._read(
            Place(),
            lambda: self._http.stream("POST", "/turn/stream", json=body, headers=headers),
        )

    def events(self, turn_id: str, after: int = 0) -> AsyncGenerator[TurnEvent, None]:
        """A turn's events behind number `after`, up to the terminal one."""
        place = Place(f"/turns/{turn_id}/events", f"{turn_id}:{after}" if after else "")
        return self._read(place)

    def follow(self, character_id: str, last_event_id: str = "") -> AsyncGenerator[TurnEvent, None]:
        """The events of all turns of a character as they come, without end."""
        return self._read(Place(f"/characters/{character_id}/events", last_event_id), endless=True)

    async def play(self, character_id: str, action: str, *, key: str | None = None) -> Any:
        """A whole turn, as `get_turn` has it, once it has ended."""
        turn_id = ""
        async for event in self.turn(character_id, action, key=key):
            if event["type"] == "metadata":
                turn_id = event.get("turn_id", turn_id)
        return await self.get_turn(turn_id)

    async def get_turn(self, turn_id: str) -> Any:
        """The turn as it stands."""
        return await self._call("GET", f"/turns/{turn_id}")

    async def cancel(self, turn_id: str) -> None:
        """Stops a turn whose narrative is still being generated."""
        await self._call("POST", f"/turns/{turn_id}/cancel")

    async def commit(self, turn_id: str) -> None:
        """Has a turn written that awaits it."""
        await self._call("POST", f"/turns/{turn_id}/commit")

    async def retell(self, turn_id: str, guidance: str | None = None) -> None:
        """Retells a turn that awaits its commit."""
        body = {} if guidance is None else {"guidance": guidance}
        await self._call("POST", f"/turns/{turn_id}/retell", body)

    # -- characters -------------------------------------------------------------------------------

    async def create_character(
        self, name: str, race: str, class_name: str, adventure_prompt: str | None = None
    ) -> Any:
        """`character_id` and the opening's `narrative`."""
        body = {"name": name, "race": race, "class_name": class_name}
        if adventure_prompt:
            body["adventure_prompt"] = adventure_prompt
        return await self._call("POST", "/characters", body)

    async def characters(self) -> list[Any]:
        """The caller's, the most recently played first."""
        found: list[Any] = (await self._call("GET", "/characters"))["characters"]
        return found

    async def history(self, character_id: str, limit: int = 20, before: str | None = None) -> Any:
        """A page of turns, newest first, and `next`."""
        query = {"limit": str(limit), **({"before": before} if before else {})}
        path = f"/characters/{character_id}/turns?{httpx.QueryParams(query)}"
        return await self._call("GET", path)

    # -- underneath -------------------------------------------------------------------------------

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = await self._http.request(method, path, json=body, timeout=None)
        except httpx.TransportError as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        if answer.status_code >= 400:
            raise _refused(answer)
        return answer.json()

    async def _read(
        self, place: Place, begin: Ask | None = None, *, endless: bool = False
    ) -> AsyncGenerator[TurnEvent, None]:
        """`begin` is asked until it has named the address of the events."""
        pause, place.heard = PAUSE, time.monotonic()
        while True:
            wait, refusal = pause, None
            try:
                async with self._asked(place, begin) as response:
                    if response.status_code == 204:
                        return
                    await _check(response)
                    place.path = response.headers.get("location", place.path)
                    async with aclosing(events_of(response, place)) as events:
                        async for event in events:
                            pause = PAUSE
                            yield event
                            place.heard = time.monotonic()  # the reader may have taken its time
            except httpx.TransportError:
                pass
            except Refused as refused:
                if refused.status not in JUST_BUSY or not refused.recoverable:
                    raise
                wait, refusal = max(pause, refused.retry_after or 0), refused
            if place.over and not endless:
                return
            await self._rest(place, wait, refusal)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _rest(self, place: Place, wait: float, refusal: Refused | None) -> None:
        """Sleep before the next request. Raises where that is beyond the patience."""
        silence = time.monotonic() - place.heard
        if refusal is not None and silence + wait > self._patience:
            raise refusal
        if silence > self._patience:
            raise Unreachable(f"nothing was heard for {self._patience:.0f} s")
        await asyncio.sleep(wait)

    def _asked(
        self, place: Place, begin: Ask | None
    ) -> AbstractAsyncContextManager[httpx.Response]:
        if begin is not None and not place.path:
            return begin()
        headers = {"Last-Event-ID": place.last_id} if place.last_id else {}
        return self._http.stream("GET", place.path, headers=headers)


async def _check(response: httpx.Response) -> None:
    if response.status_code >= 400:
        await response.aread()
        raise _refused(response)


def _refused(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return Refused(answer.status_code, problem if isinstance(problem, dict) else {})
