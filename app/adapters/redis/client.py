"""Clients of Redis that repeat nothing by themselves and wait for nobody longer than they say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.errors import StoreUnavailable

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 2.0


def client(url: str, *, answer_seconds: float = ANSWER_SECONDS, connections: int = 4) -> Redis:
    """A command that was repeated after a lost answer would be carried out twice, so retries are off; a
    blocking command needs more than its time to block as `answer_seconds`. A command waits for one of the
    `connections`: the usual pool refuses it, which would look as if Redis were away."""
    return Redis.from_pool(_pool(url, answer_seconds, connections))


def _pool(url: str, answer_seconds: float | None, connections: int) -> BlockingConnectionPool:
    pool = BlockingConnectionPool.from_url(
        url,
        timeout=answer_seconds,
        protocol=2,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        retry_on_timeout=False,
        health_check_interval=0,
        max_connections=connections,
    )
    of_url = pool.connection_class  # TLS has one of its own
    pool.connection_class = type(of_url.__name__, (_Interruptible, of_url), {})
    return pool


class _Interruptible:
    """Mixed into a connection of redis-py 8, which sends by `asyncio.wait_for`: before Python 3.12, what is
    cancelled in the moment in which it has sent goes on. uvloop has an error of its own for a connection
    that is gone."""

    socket_timeout: float | None

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        connection: Any = super()
        seconds, self.socket_timeout = self.socket_timeout, None  # how it sends without `wait_for`
        try:
            async with asyncio.timeout(seconds):
                await connection.send_packed_command(command, check_health)
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error
        finally:
            self.socket_timeout = seconds


def packed(*words: bytes | str | int) -> bytes:
    """A command as it is sent."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    lines = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%b" % (len(parts), lines)


class Line:
    """A connection for one batch of commands after the other. A pool's locks and a timer for each answer
    cost more than a batch itself."""

    def __init__(self, url: str) -> None:
        pool: Any = _pool(url, None, 1)
        self._connection = pool.make_connection()

    async def carry_out(self, batch: bytes, answers: int) -> Any:
        """The last of so many answers; `ResponseError` if one of them is an error. Not to be called again
        before it has returned."""
        connection = self._connection
        try:
            wait = ANSWER_SECONDS + (0 if connection.is_connected else CONNECT_SECONDS)
            async with asyncio.timeout(wait):
                if connection.is_connected and await connection.can_read():
                    await connection.disconnect(nowait=True)  # Redis has closed it meanwhile
                await connection.send_packed_command(batch, check_health=False)
                for _ in range(answers):
                    answer = await connection.read_response()
                return answer
        except BaseException:
            await connection.disconnect(nowait=True)  # further answers may be on their way
            raise

    async def aclose(self) -> None:
        await self._connection.disconnect()


class Availability:
    """Says once when Redis cannot be used, and once when it can again."""

    def __init__(self) -> None:
        self.ok = True

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raises `StoreUnavailable` for whatever Redis or the way to it has."""
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            if self.ok:
                log.error("redis_unusable", reason=str(error), kind=type(error).__name__)
            self.ok = False
            raise StoreUnavailable from error
        if not self.ok:
            log.info("redis_usable")
            self.ok = True
