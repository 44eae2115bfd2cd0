"""The hubs that events are delivered to, as tests see them: each real, or a plain HTTP server."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from app.adapters.hub.http import HttpHub
from app.adapters.hub.nats import NatsHub
from app.adapters.hub.redis import RedisHub
from app.ports.hub import MessageHub
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DeliverPolicy
from redis import Redis

from databases import SERVERS, NatsServer, RedisServer
from fakes.hub import FakeHub
from wires import Wire

SECRET = "whsec_" + "YSBzZWNyZXQgb2YgdGhlIHRlc3RzIDI0"
KINDS = ("http", "redis", "nats")


class Receiver(Protocol):
    """`wire`: the way to it, which can be cut or made mute."""

    wire: Wire
    url: str
    settings: dict[str, str]

    def hub(self) -> MessageHub: ...

    def received(self) -> list[tuple[str, bytes]]:
        """Ids and bodies in the order in which they were taken, copies included where it keeps them."""
        ...


class HttpReceiver:
    def __init__(self, hub: FakeHub) -> None:
        self.fake = hub
        self.wire = Wire(int(hub.url.split(":")[2].split("/")[0]))
        self.url = f"http://127.0.0.1:{self.wire.port}/api"
        self.settings = {"MESSAGE_HUB_SECRET": SECRET}

    def hub(self) -> MessageHub:
        return HttpHub(self.url, SECRET, time.time, ssl.create_default_context())

    def received(self) -> list[tuple[str, bytes]]:
        return [(one.id, one.body) for one in list(self.fake.taken)]


class RedisReceiver:
    settings: dict[str, str]

    def __init__(self, server: RedisServer, topic: str) -> None:
        self.wire = Wire(server.port)
        self.url = f"redis://127.0.0.1:{self.wire.port}/0"
        self.settings = {"MESSAGE_HUB_TOPIC": topic}
        self._topic = topic
        self._server = server

    def hub(self) -> MessageHub:
        return RedisHub(self.url, self._topic)

    def received(self) -> list[tuple[str, bytes]]:
        with Redis.from_url(self._server.url) as client:
            items: Any = client.xrange(f"{self._topic}.events")
        return [(item[b"id"].decode(), item[b"event"]) for _, item in items]


class NatsReceiver:
    settings: dict[str, str]

    def __init__(self, server: NatsServer, topic: str) -> None:
        self.wire = Wire(server.port)
        self.url = f"nats://127.0.0.1:{self.wire.port}"
        self.settings = {"MESSAGE_HUB_TOPIC": topic}
        self._topic = topic
        self._server = server

    def hub(self) -> MessageHub:
        return NatsHub(self.url, self._topic)

    def received(self) -> list[tuple[str, bytes]]:
        return asyncio.run(self._received())

    async def _received(self) -> list[tuple[str, bytes]]:
        client = Client()
        await client.connect(self._server.url)
        stream = client.jetstream()
        try:
            known = [one.config.name for one in await stream.streams_info()]
            if self._topic not in known:
                return []
            count = (await stream.stream_info(self._topic)).state.messages
            if not count:
                return []
            policy = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
            reader = await stream.pull_subscribe(f"{self._topic}.>", config=policy)
            found = await reader.fetch(count, timeout=200)
            return [((one.headers or {})["Nats-Msg-Id"], one.data) for one in found]
        finally:
            await client.close()


@contextmanager
def receiver(kind: str, topic: str) -> Iterator[Receiver]:
    """`topic` keeps tests apart that share a server."""
    made: Receiver
    with FakeHub() as fake:
        match kind:
            case "http":
                made = HttpReceiver(fake)
            case "redis":
                made = RedisReceiver(SERVERS.redis, topic)
            case _:
                made = NatsReceiver(SERVERS.nats, topic)
        try:
            yield made
        finally:
            made.wire.close()
