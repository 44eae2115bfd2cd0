"""A stream of Redis as a hub."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from app.adapters.redis.client import client
from app.ports.hub import HubMessage, HubUnavailable

MAX_LENGTH: Final = 1_000_000
"""About so many events are kept; readers that fall back further miss some."""
CONNECTIONS: Final = 32
ANSWER_SECONDS: Final = 10.0


class RedisHub:
    """The stream is called `{topic}.events`; an item has the fields id, type, subject and event."""

    def __init__(self, url: str, topic: str) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}"
        self._stream = f"{topic}.events"
        self._redis = client(url, answer_seconds=ANSWER_SECONDS, connections=CONNECTIONS)

    async def publish(self, message: HubMessage) -> None:
        fields: Any = {
            "id": message.id,
            "type": message.type,
            "subject": message.subject.encode("utf-8", "replace"),
            "event": message.body,
        }
        try:
            await self._redis.xadd(self._stream, fields, maxlen=MAX_LENGTH, approximate=True)
        except (RedisError, OSError, TimeoutError) as error:
            raise HubUnavailable(type(error).__name__) from error

    async def aclose(self) -> None:
        await self._redis.aclose()
