"""The channel of running turns in Redis: one stream a turn.

The id of an item is `last-0`, the number of its newest entry, so what follows the entry n is what follows
the id `n-0`. Redis takes ids with gaps and shows a cursor beyond a stream that began anew nothing: readers
look at the numbers themselves, and a publisher whose marker has gone writes its streams again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from app.adapters.event_log.shared import LogRow
from app.adapters.redis.client import Availability, client
from app.errors import StoreUnavailable

EXPIRY_SECONDS: Final = 7_200  # longer than any turn is silent
RENEWAL_SECONDS: Final = 600  # so often a running turn's expiry is set anew
BLOCK_SECONDS: Final = 1.0
PAUSE: Final = 0.2
_FIRST, _DATA = b"f", b"d"
_TOO_SMALL: Final = "equal or smaller"


class RedisLogChannel:
    """`space` keeps journals apart that share a server."""

    def __init__(self, url: str, space: str, owner: str) -> None:
        self._redis = client(url)
        self._reading = client(url, answer_seconds=BLOCK_SECONDS + 2, connections=1)
        self._prefix = f"dm:{space}:turn:"
        self._marker = f"dm:{space}:owner:{owner}"
        self._waker = f"dm:{space}:wake:{owner}"
        self.availability = Availability()
        self._wanted: Callable[[], Mapping[str, int]] = dict
        self._deliver: Callable[[Iterable[LogRow]], None] = lambda _: None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._renewed: set[str] = set()  # keys whose expiry was set lately
        self._renewal = 0.0

    async def publish(self, rows: Sequence[LogRow], *, rewriting: bool, whole: bool) -> bool:
        with self.availability.watched():
            pipeline = self._redis.pipeline(transaction=rewriting)
            pipeline.exists(self._marker)
            keys = dict.fromkeys(self._prefix + row.turn_id for row in rows)
            if rewriting and rows:
                pipeline.unlink(*keys)
            for row in rows:
                fields: Any = {_FIRST: row.first, _DATA: row.data}
                pipeline.xadd(self._prefix + row.turn_id, fields, id=f"{row.last}-0")
            due = self._due((*keys, self._marker), all_of_them=rewriting)
            for key in due:
                pipeline.expire(key, EXPIRY_SECONDS)
            if whole:
                pipeline.set(self._marker, 1, ex=EXPIRY_SECONDS)
            there, *others = await pipeline.execute(raise_on_error=False)
            for answer in (there, *others):
                if isinstance(answer, Exception) and not _is_there(answer):
                    raise answer
            self._renewed.update(due)
        return rewriting or bool(there)

    def _due(self, keys: tuple[str, ...], *, all_of_them: bool) -> list[str]:
        """Keys whose expiry is to be set: with each flush it would be half of the commands."""
        now = asyncio.get_running_loop().time()
        if all_of_them or now >= self._renewal:
            self._renewed, self._renewal = set(), now + RENEWAL_SECONDS
        return [key for key in keys if key not in self._renewed]

    async def read(self, seen: Mapping[str, int]) -> list[LogRow]:
        with self.availability.watched():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xread(_streams(self._prefix, seen))
            # Whoever is read for now is to be waited for from now on.
            pipeline.xadd(self._waker, {"w": 1}, maxlen=1)
            pipeline.expire(self._waker, EXPIRY_SECONDS)
            found, *_ = await pipeline.execute()
            return self._rows(found)

    async def drop(self, turn_ids: Sequence[str]) -> None:
        with self.availability.watched():
            await self._redis.unlink(*(self._prefix + turn_id for turn_id in turn_ids))

    def start(
        self, wanted: Callable[[], Mapping[str, int]], deliver: Callable[[Iterable[LogRow]], None]
    ) -> None:
        self._wanted, self._deliver = wanted, deliver
        self._task = asyncio.create_task(self._read_all(), name="redis-log-reader")

    async def available(self) -> bool:
        """Whether Redis answers. Raises `StoreUnavailable`."""
        with self.availability.watched():
            return bool(await self._redis.ping())

    async def aclose(self) -> None:
        self._closing = True  # redis-py may take a cancellation for a lost connection
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._redis.aclose()
        await self._reading.aclose()

    async def _read_all(self) -> None:
        """One reader for all turns that are followed, each from the id of the entry seen last."""
        woken = "0-0"
        while not self._closing:
            try:
                with self.availability.watched():
                    streams = _streams(self._prefix, self._wanted())
                    streams[self._waker] = woken
                    found: Any = await self._reading.xread(streams, block=int(BLOCK_SECONDS * 1000))
                for key, items in found or ():
                    if key.decode() == self._waker:
                        woken = items[-1][0].decode()
                self._deliver(self._rows(found))
            except StoreUnavailable:
                await asyncio.sleep(PAUSE)
                woken = "0-0"

    def _rows(self, found: Any) -> list[LogRow]:
        length = len(self._prefix)
        return [
            LogRow(key.decode()[length:], int(item[_FIRST]), 0, item[_DATA])
            for key, items in found or ()
            if key.decode().startswith(self._prefix)
            for _, item in items
        ]


def _streams(prefix: str, seen: Mapping[str, int]) -> dict[Any, Any]:
    return {prefix + turn_id: f"{number}-0" for turn_id, number in seen.items()}


def _is_there(error: Exception) -> bool:
    """Only the turn's owner writes its stream: an id that is taken is its own, whose answer was lost."""
    return isinstance(error, ResponseError) and _TOO_SMALL in str(error)
