"""Clients of Redis that repeat nothing by themselves and wait for nobody longer than they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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
    return Redis.from_pool(pool)


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
