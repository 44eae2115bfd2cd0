"""Answers of all processes on one Redis.

Those of one name are three keys: the answers, when each expires, and how many bytes they have, so that one
script can keep them within bounds. Times are those of Redis.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from app.adapters.answers.memory import BOUNDS, Bounds
from app.adapters.redis.client import Availability, client
from app.errors import StoreUnavailable

FOR_ALL: Final = BOUNDS.times(10)
LONGEST: Final = BOUNDS.bytes
PAUSE: Final = 2.0

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_GET: Final = f"""{_NOW}
local till = redis.call('ZSCORE', KEYS[2], ARGV[1])
return till and tonumber(till) > now and redis.call('HGET', KEYS[1], ARGV[1])
"""
_CHANGE: Final = f"""{_NOW}
local held = tonumber(redis.call('GET', KEYS[3]) or '0')
local function drop(field)
  held = held - redis.call('HSTRLEN', KEYS[1], field)
  redis.call('HDEL', KEYS[1], field)
  redis.call('ZREM', KEYS[2], field)
end
for _, field in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do drop(field) end
drop(ARGV[1])
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
  held = held + #ARGV[2]
end
while redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[4]) or held > tonumber(ARGV[5]) do
  local first = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not first then break end
  drop(first)
end
local left = redis.call('ZCARD', KEYS[2])
if left == 0 then redis.call('DEL', unpack(KEYS)) return 0 end
redis.call('SET', KEYS[3], held)
if ARGV[2] ~= '' then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[3]) end
end
return left
"""
_REPLACE: Final = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return ''
"""
Result = TypeVar("Result")


class RedisAnswers:
    """`Answers`. `space` keeps journals apart that share a server. For `pause` seconds after a failure
    nothing is asked: each request would wait for Redis several times. `now`: monotonic seconds."""

    def __init__(
        self,
        url: str,
        space: str,
        bounds: Bounds = FOR_ALL,
        pause: float = PAUSE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client(url, connections=16)
        self._prefix = f"dm:{space}:"
        self._replace = self._redis.register_script(_REPLACE)
        self._availability = Availability()
        self._pause = pause
        self._now = now
        self._quiet_until = 0.0
        self.bounds = bounds
        self.read = self._redis.register_script(_GET)
        self.change = self._redis.register_script(_CHANGE)

    def kept(self, name: str, ttl: float, times: int = 1) -> RedisAnswerStore:
        keys = [f"{self._prefix}answers:{name}:{part}" for part in ("texts", "until", "bytes")]
        return RedisAnswerStore(self, keys, ttl, self.bounds.times(times))

    async def replace(self, key: bytes, known: str, new: str, seconds: float) -> str:
        values: list[Any] = [known, new, math.ceil(seconds * 1000)]
        name = f"{self._prefix}flight:{key.hex()}"
        held: bytes = await self.asked(lambda: self._replace([name], values), b"")
        return held.decode("utf-8", "surrogateescape")

    async def asked(self, ask: Callable[[], Awaitable[Any]], otherwise: Result) -> Any | Result:
        """The result of `ask`; `otherwise` while Redis cannot be reached."""
        if self._now() < self._quiet_until:
            return otherwise
        try:
            with self._availability.watched():
                return await ask()
        except StoreUnavailable:
            self._quiet_until = self._now() + self._pause
            return otherwise

    async def available(self) -> bool:
        with self._availability.watched():
            return bool(await self._redis.ping())

    async def aclose(self) -> None:
        await self._redis.aclose()


class RedisAnswerStore:
    """`AnswerStore`."""

    def __init__(self, answers: RedisAnswers, keys: list[str], ttl: float, bounds: Bounds) -> None:
        self._answers = answers
        self._keys = keys
        self._ttl = ttl
        self._bounds = bounds
        self._count = 0

    def __len__(self) -> int:
        return self._count

    async def get(self, key: bytes) -> bytes | None:
        if not self._ttl:
            return None
        found: bytes | None = await self._answers.asked(
            lambda: self._answers.read(self._keys, [key]), None
        )
        return found

    async def put(self, key: bytes, answer: bytes) -> None:
        if len(answer) <= min(LONGEST, self._bounds.bytes):
            await self._change(key, answer)

    async def drop(self, key: bytes) -> None:
        await self._change(key, b"")

    async def expire(self) -> None:
        await self._change(b"", b"")

    async def _change(self, key: bytes, answer: bytes) -> None:
        if not self._ttl:
            return
        values: list[Any] = [key, answer, math.ceil(self._ttl * 1000), *self._bounds]
        self._count = await self._answers.asked(
            lambda: self._answers.change(self._keys, values), self._count
        )
