"""The channel of running turns in Redis: one stream a turn.

The id of an item is `last-0`, the number of its newest entry, so what follows the entry n is what follows
the id `n-0`. Redis takes ids with gaps and shows a cursor beyond a stream that began anew nothing: readers
look at the numbers themselves, and a publisher whose marker has gone writes its streams again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from app.adapters.event_log.shared import LogRow
from app.adapters.redis.client import Availability, Line, client, packed
from app.errors import StoreUnavailable
from app.tasks import cancelled

EXPIRY_SECONDS: Final = 7_200  # longer than any turn is silent
RENEWAL_SECONDS: Final = 600  # so often a running turn's expiry is set anew
BLOCK_SECONDS: Final = 1.0
PAUSE: Final = 0.2
KNOWN_PARTS: Final = 4_096
_FIRST, _DATA = b"f", b"d"
_SILENCE: Final = packed("CLIENT", "REPLY", "OFF")
_ANSWER: Final = packed("CLIENT", "REPLY", "ON")


class _Parts(dict[int, bytes]):
    """Parts of commands, made of a number by `form`: those of most turns are the same."""

    def __init__(self, form: Callable[[int], bytes]) -> None:
        self._form = form

    def __missing__(self, number: int) -> bytes:
        if len(self) >= KNOWN_PARTS:
            self.clear()
        self[number] = part = self._form(number)
        return part


# An addition, `XADD key id f first d data`, in parts. Redis refuses an id that is there or was passed,
# silently here: only a turn's owner writes its stream, so it is a row whose answer was lost.
_ID: Final = _Parts(lambda last: b"$%d\r\n%d-0\r\n" % (len(str(last)) + 2, last))
_FIRST_AND: Final = _Parts(
    lambda first: b"$1\r\nf\r\n$%d\r\n%d\r\n$1\r\nd\r\n" % (len(str(first)), first)
)
_SIZE: Final = _Parts(lambda length: b"$%d\r\n" % length)


def _beginning(key: str) -> bytes:
    name = key.encode()
    return b"*7\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n" % (len(name), name)


class RedisLogChannel:
    """`space` keeps journals apart that share a server."""

    def __init__(self, url: str, space: str, owner: str) -> None:
        self._redis = client(url)
        self._line = Line(url)
        self._reading = client(url, answer_seconds=BLOCK_SECONDS + 2, connections=1)
        self._prefix = f"dm:{space}:turn:"
        self._marker = f"dm:{space}:owner:{owner}"
        self._waker = f"dm:{space}:wake:{owner}"
        self.availability = Availability()
        self._wanted: Callable[[], Mapping[str, int]] = dict
        self._deliver: Callable[[Iterable[LogRow]], None] = lambda _: None
        self._task: asyncio.Task[None] | None = None
        # A write, since it fails where the others did: out of memory, read-only.
        mark = ("SET", self._marker, 1, "EX", EXPIRY_SECONDS)
        self._end = _ANSWER + packed(*mark, "XX"), _ANSWER + packed(*mark)
        self._begun: dict[str, bytes] = {}  # how to add to the streams whose expiry was set lately
        self._renewal = 0.0

    async def publish(self, rows: Sequence[LogRow], *, rewriting: bool, whole: bool) -> bool:
        """One pipeline, of which Redis answers the end alone: reading an answer to each command costs more
        than sending it."""
        now = asyncio.get_running_loop().time()
        if rewriting or now >= self._renewal:
            self._begun, self._renewal = {}, now + RENEWAL_SECONDS
        keys = self._begin([row[0] for row in rows if row[0] not in self._begun])
        batch = [_SILENCE, packed("UNLINK", *keys) if rewriting and keys else b""]
        for turn_id, first, last, data in rows:
            size = _SIZE[len(data)]
            batch += (self._begun[turn_id], _ID[last], _FIRST_AND[first], size, data, b"\r\n")
        batch += (packed("EXPIRE", key, EXPIRY_SECONDS) for key in keys)
        batch.append(self._end[whole])
        try:
            with self.availability.watched():
                there = await self._line.carry_out(b"".join(batch), 2)
        except StoreUnavailable:
            self._begun = {}
            raise
        return rewriting or there is not None

    def _begin(self, turn_ids: Iterable[str]) -> list[str]:
        """Their keys, whose expiry is to be set now, and not with each flush."""
        keys = {turn_id: self._prefix + turn_id for turn_id in turn_ids}
        self._begun.update((turn_id, _beginning(key)) for turn_id, key in keys.items())
        return list(keys.values())

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
        for turn_id in turn_ids:
            self._begun.pop(turn_id, None)

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
        if self._task is not None:
            await cancelled([self._task])
        await self._line.aclose()
        await self._redis.aclose()
        await self._reading.aclose()

    async def _read_all(self) -> None:
        """One reader for all turns that are followed, each from the id of the entry seen last, or of the
        item delivered last: what is behind a gap cannot be shown yet, and would be there again at once."""
        woken, passed = "0-0", dict[str, int]()
        while True:
            try:
                wanted = self._wanted()
                passed = {name: at for name, at in passed.items() if wanted.get(name, at) < at}
                with self.availability.watched():
                    streams = _streams(self._prefix, {**wanted, **passed})
                    streams[self._waker] = woken
                    found: Any = await self._reading.xread(streams, block=int(BLOCK_SECONDS * 1000))
                for key, items in found or ():
                    if key.decode() == self._waker:
                        woken = items[-1][0].decode()
                rows = self._rows(found)
                passed.update((turn_id, last) for turn_id, _, last, _ in rows)
                self._deliver(rows)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE)
                woken, passed = "0-0", {}

    def _rows(self, found: Any) -> list[LogRow]:
        length = len(self._prefix)
        return [
            (key.decode()[length:], int(item[_FIRST]), int(name.partition(b"-")[0]), item[_DATA])
            for key, items in found or ()
            if key.decode().startswith(self._prefix)
            for name, item in items
        ]


def _streams(prefix: str, seen: Mapping[str, int]) -> dict[Any, Any]:
    return {prefix + turn_id: f"{number}-0" for turn_id, number in seen.items()}
