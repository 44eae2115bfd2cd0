"""A stream of NATS JetStream as a hub.

The client mends no connection by itself: it would send what was given up once it is connected again, once
for each attempt, and would close itself for good after a while without a server. Here a connection that has
failed is left, with whatever was waiting in it, and the next event makes a new one.

JetStream drops a second copy with the same `Nats-Msg-Id` within the stream's duplicate window; readers drop
those that come later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, MaxPayloadError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError
from nats.js.errors import Error as JetStreamError

from app.core.hub import subject_token
from app.ports.hub import HubMessage, HubRefused, HubUnavailable

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 10.0
KEPT_SECONDS: Final = 7 * 86_400.0
DUPLICATE_SECONDS: Final = 3_600.0


class _Session(NamedTuple):
    """One connection. `gone` is set once it is closed, by whomever."""

    client: Client
    stream: JetStreamContext
    gone: asyncio.Event


class NatsHub:
    """`topic`: events go to `{topic}.{type}.{subject}`, the subject as one token. A stream that takes these
    is made where there is none."""

    def __init__(self, url: str, topic: str) -> None:
        self._servers = url.split(",")
        hosts = [urlsplit(one) for one in self._servers]
        self.name = ",".join(f"{one.scheme}://{one.hostname}:{one.port or 4222}" for one in hosts)
        self._topic = topic
        self._connecting = asyncio.Lock()
        self._session: _Session | None = None

    async def publish(self, message: HubMessage) -> None:
        session = await self._connected()
        subject = f"{self._topic}.{message.type}.{subject_token(message.subject)}"
        headers = {"Nats-Msg-Id": message.id, "Content-Type": "application/cloudevents+json"}
        try:
            await _unless_gone(
                session, session.stream.publish(subject, message.body, headers=headers)
            )
        except (MaxPayloadError, BadRequestError) as error:
            raise HubRefused(_reason(error)) from error
        except JetStreamError as error:  # an answer: the connection is good
            raise HubUnavailable(_reason(error)) from error
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            await self._leave(session)
            raise HubUnavailable(_reason(error)) from error

    async def _connected(self) -> _Session:
        async with self._connecting:
            known = self._session
            if known is not None and known.client.is_connected:
                return known
            await self._leave(known)
            session = _session()
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await _unless_gone(session, self._connect(session))
            except (NatsError, OSError, TimeoutError, ValueError) as error:
                await self._leave(session)
                raise HubUnavailable(_reason(error)) from error
            self._session = session
            return session

    async def _connect(self, session: _Session) -> None:
        async def closed() -> None:
            session.gone.set()

        await session.client.connect(
            servers=self._servers,
            name="dungeon-master",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # and so at once, where there is no server
            reconnect_time_wait=0,
            connect_timeout=5,
            error_cb=_ignore,
            closed_cb=closed,
        )
        subjects = f"{self._topic}.>"
        try:
            await session.stream.find_stream_name_by_subject(subjects)
        except NotFoundError:
            await session.stream.add_stream(
                StreamConfig(
                    name=self._topic,
                    subjects=[subjects],
                    storage=StorageType.FILE,
                    max_age=KEPT_SECONDS,
                    duplicate_window=DUPLICATE_SECONDS,
                )
            )

    async def _leave(self, session: _Session | None) -> None:
        """Another attempt may have made a new one by now."""
        if session is None:
            return
        if session is self._session:
            self._session = None
        with suppress(Exception):
            await session.client.close()

    async def aclose(self) -> None:
        await self._leave(self._session)


def _session() -> _Session:
    client = Client()
    return _Session(client, client.jetstream(timeout=ANSWER_SECONDS), asyncio.Event())


async def _unless_gone(session: _Session, call: Coroutine[Any, Any, object]) -> None:
    """The client lets whoever waits on a connection that is gone wait on."""
    calling, gone = asyncio.create_task(call), asyncio.create_task(session.gone.wait())
    try:
        await asyncio.wait((calling, gone), return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise ConnectionClosedError
        calling.result()
    finally:
        calling.cancel()
        gone.cancel()


async def _ignore(_: Exception) -> None:
    """Whoever waits for an answer gets the error."""


def _reason(error: Exception) -> str:
    described = getattr(error, "description", None)
    return f"{type(error).__name__}: {described}" if described else type(error).__name__
