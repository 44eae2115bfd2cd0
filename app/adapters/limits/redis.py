"""Limits of all processes on one Redis: a sorted set a window, one script for all of a request."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from redis.commands.core import AsyncScript

from app.adapters.limits.answers import answered, left
from app.adapters.redis.client import Availability, client
from app.errors import Overloaded, StoreUnavailable
from app.ports.limits import Charge, Limiter, Taken

_CLOCK: Final = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local exactly = string.format('%.6f', now)
"""
_TAKE: Final = f"""{_CLOCK}
local taken, places, waits = 1, {{}}, {{}}
for i, key in ipairs(KEYS) do
  local limit, length = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. exactly, '+inf')) do
    redis.call('ZADD', key, exactly, member)
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.6f', now - length))
  places[i] = limit - redis.call('ZCARD', key)
  local over = math.max(0, -places[i])
  local next = redis.call('ZRANGE', key, over, over, 'WITHSCORES')[2]
  waits[i] = next and string.format('%.6f', tonumber(next) + length - now) or '0'
  if places[i] <= 0 then taken = 0 end
end
if taken == 1 then
  for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, exactly, ARGV[2])
    redis.call('PEXPIRE', key, math.ceil(tonumber(ARGV[2 * i + 2]) * 1000) + 1000)
  end
end
return {{taken, exactly, places, waits}}
"""
_LOOK: Final = f"""{_CLOCK}
local places, waits = {{}}, {{}}
for i, key in ipairs(KEYS) do
  local limit, length = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local since = '(' .. string.format('%.6f', now - length)
  places[i] = limit - redis.call('ZCOUNT', key, since, '+inf')
  local over = math.max(0, -places[i])
  local next = redis.call('ZRANGEBYSCORE', key, since, '+inf', 'WITHSCORES', 'LIMIT', over, 1)[2]
  waits[i] = next and string.format('%.6f', math.min(tonumber(next), now) + length - now) or '0'
end
return {{0, exactly, places, waits}}
"""


class _Windows(NamedTuple):
    """The state of the windows when they were asked; `at` in epoch seconds."""

    taken: bool
    at: float
    places: list[int]
    waits: list[float]


class RedisLimiter:
    """`otherwise` decides while Redis cannot be used; None: nothing is let in then.

    `now` gives epoch seconds; None, as in every real service: the clock of Redis.
    """

    def __init__(
        self,
        url: str,
        space: str,
        otherwise: Limiter | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._redis = client(url, connections=16)
        self._taking = self._redis.register_script(_TAKE)
        self._looking = self._redis.register_script(_LOOK)
        self._prefix = f"dm:{space}:limit:"
        self._otherwise = otherwise
        self._now = now
        self.availability = Availability()

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Raises `Overloaded` beside `RateLimitExceeded`."""
        if not charges:
            return Taken(_nothing, {})
        try:
            return await self._take(charges)
        except StoreUnavailable:
            if self._otherwise is None:
                raise Overloaded("Limits cannot be checked at the moment.") from None
            return await self._otherwise.take(charges)

    async def _take(self, charges: Sequence[Charge]) -> Taken:
        member = secrets.token_hex(8)
        keys, windows = await self._asked(self._taking, charges, member)
        headers = answered(charges, windows.places, windows.waits, windows.at, taken=windows.taken)

        async def give_back() -> None:
            with self.availability.watched():
                pipeline = self._redis.pipeline(transaction=False)
                for key in keys:
                    pipeline.zrem(key, member)
                await pipeline.execute()

        return Taken(_quietly(give_back), headers)

    async def look(self, charges: Sequence[Charge]) -> dict[str, str]:
        if not charges:
            return {}
        try:
            _, windows = await self._asked(self._looking, charges, "")
        except StoreUnavailable:
            return {} if self._otherwise is None else await self._otherwise.look(charges)
        return left(charges, windows.places, windows.waits, windows.at)

    async def _asked(
        self, script: AsyncScript, charges: Sequence[Charge], member: str
    ) -> tuple[list[str], _Windows]:
        """The keys of the windows, and how they were."""
        keys = [f"{self._prefix}{rule.name}:{key}" for rule, key in charges]
        values: list[Any] = ["" if self._now is None else repr(self._now()), member]
        for rule, _ in charges:
            values += (rule.limit, repr(rule.window))
        with self.availability.watched():
            taken, at, places, waits = await script(keys, values)
        return keys, _Windows(bool(taken), float(at), places, [float(wait) for wait in waits])

    def recall(self, charges: Iterable[tuple[Charge, float]]) -> None:
        """They are in Redis, unless it was restarted."""
        if self._otherwise is not None:
            self._otherwise.recall(charges)

    async def aclose(self) -> None:
        await self._redis.aclose()


def _quietly(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def quiet() -> None:
        with suppress(StoreUnavailable):  # the place is free again when its time is over
            await work()

    return quiet


async def _nothing() -> None:
    pass
