"""A stream of NATS JetStream as a hub.

The client mends no connection by itself: it would send what was given up once it is connected again, once
for each attempt, and would close itself for good after a while without a server. Here a connection that has
failed is left, with whatever was waiting in it, and the next event makes a new one.

JetStream drops a second copy with the same `Nats-Msg-Id` within the stream's duplicate window; readers drop
those that come later.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError
from nats.js.errors import Error as JetStreamError

from app.core.hub import subject_token
from app.ports.hub import HubMessage, HubRefused, HubUnavailable

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 5.0
KEPT_SECONDS: Final = 7 * 86_400.0
DUPLICATE_SECONDS: Final = 3_600.0


class NatsHub:
    """`topic`: events go to `{topic}.{type}.{subject}`, the subject as one token. A stream that takes these
    is made where there is none."""

    def __init__(self, url: str, topic: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._servers = url.split(",")
        hosts = [urlsplit(one) for one in self._servers]
        self.name = ",".join(f"{one.scheme}://{one.hostname}:{one.port or 4222}" for one in hosts)
        self._topic = topic
        self._answer_seconds = answer_seconds
        self._connecting = asyncio.Lock()
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None

    async def publish(self, message: HubMessage) -> None:
        stream = await self._connected()
        client = self._client
        subject = f"{self._topic}.{message.type}.{subject_token(message.subject)}"
        headers = {"Nats-Msg-Id": message.id, "Content-Type": "application/cloudevents+json"}
        try:
            await stream.publish(
                subject, message.body, timeout=self._answer_seconds, headers=headers
            )
        except (MaxPayloadError, BadRequestError) as error:
            raise HubRefused(_reason(error)) from error
        except JetStreamError as error:  # an answer: the connection is good
            raise HubUnavailable(_reason(error)) from error
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            await self._leave(client)
            raise HubUnavailable(_reason(error)) from error

    async def _connected(self) -> JetStreamContext:
        async with self._connecting:
            if self._stream is None or self._client is None or not self._client.is_connected:
                await self._leave(self._client)
                self._client = client = Client()
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        self._stream = await self._connect(client)
                except (NatsError, OSError, TimeoutError, ValueError) as error:
                    await self._leave(client)
                    raise HubUnavailable(_reason(error)) from error
            return self._stream

    async def _connect(self, client: Client) -> JetStreamContext:
        await client.connect(
            servers=self._servers,
            name="dungeon-master",
            allow_reconnect=False,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=1,
            error_cb=_ignore,
        )
        stream = client.jetstream(timeout=self._answer_seconds)
        subjects = f"{self._topic}.>"
        try:
            await stream.find_stream_name_by_subject(subjects)
        except NotFoundError:
            await stream.add_stream(
                StreamConfig(
                    name=self._topic,
                    subjects=[subjects],
                    storage=StorageType.FILE,
                    max_age=KEPT_SECONDS,
                    duplicate_window=DUPLICATE_SECONDS,
                )
            )
        return stream

    async def _leave(self, client: Client | None) -> None:
        """Another attempt may have a new one by now."""
        if client is None:
            return
        if client is self._client:
            self._client = self._stream = None
        with suppress(Exception):
            await client.close()

    async def aclose(self) -> None:
        await self._leave(self._client)


async def _ignore(_: Exception) -> None:
    """Whoever waits for an answer gets the error."""


def _reason(error: Exception) -> str:
    described = getattr(error, "description", None)
    return f"{type(error).__name__}: {described}" if described else type(error).__name__
