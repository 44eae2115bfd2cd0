"""Nothing is left of a reader of a table who goes, whenever that is."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import struct
from base64 import b64encode
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from app.tables.course import Course
from app.tables.fan_out import FanOut
from app.tables.feed import TableFeed
from app.tables.room import Attendant, Room
from app.tables.rooms import Rooms
from app.web.transports.readers import Readers
from websockets.frames import Frame, Opcode

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from remote import environment, remote
from serving import TIMEOUT, Served, aside
from tabling import Guest, party, script_of

CONNECTIONS: Final = 150
OF_READERS: Final = (Course, FanOut, TableFeed, Attendant, Room)
TASKS: Final = ("table-fan-out", "table-news")


class Client:
    """Says what it must to be served, and goes in the middle of anything."""

    def __init__(self, guest: Guest, path: str) -> None:
        service, self.upgraded = guest.service, path.startswith("/ws")
        self._socket = socket.create_connection(("127.0.0.1", service.port), TIMEOUT)
        head = [f"GET {path} HTTP/1.1", f"Host: {service.host}", f"X-User-Id: {guest.name}"]
        if self.upgraded:
            key = b64encode(os.urandom(16)).decode()
            head += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            head += [f"Sec-WebSocket-Key: {key}"]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode())

    def says(self, **message: Any) -> None:
        if self.upgraded:
            frame = Frame(Opcode.TEXT, json.dumps(message).encode())
            self._socket.sendall(frame.serialize(mask=True))

    def reads(self, count: int, seconds: float) -> None:
        self._socket.settimeout(seconds)
        while count > 0 and (came := self._socket.recv(min(count, 4096))):
            count -= len(came)

    def goes(self, *, rudely: bool) -> None:
        if rudely:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def paths_of(table: int) -> list[str]:
    """Of all that reads a table."""
    sockets = [f"/ws/campaign/{one}?session_id={table}" for one in ("player", "dm")]
    return [f"/api/sessions/{table}/events", f"/ws/{table}", *sockets]


def objects() -> Counter[str]:
    gc.collect()
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one) in OF_READERS)


def left(service: Served, before: Counter[str]) -> Counter[str]:
    """All that is there of readers of tables, and was not `before`."""
    services = service.application.services
    rooms, readers = services.get(Rooms), services.get(Readers)
    assert service.loop is not None
    found = objects() - before
    tasks = asyncio.all_tasks(service.loop)
    found.update(name for one in tasks if (name := one.get_name()) in TASKS)
    found.update(rooms=len(rooms._rooms), seats=len(rooms.dm_seats._held), streams=readers.open)
    return +found


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_of_readers_who_go_at_any_moment(
    service: Served, model: FakeModel, seed: int
) -> None:
    model.default, random, before = script_of(), Random(seed), objects()
    table, guests = party(service, "olga", "mara", "finn", requests_per_minute=0)
    paths = paths_of(table)
    acts = []
    for number in range(CONNECTIONS):
        if number % 15 == 0:
            acts.append(aside(random.choice(guests).acts, table))
        client = Client(random.choice(guests), random.choice(paths))
        with suppress(OSError):
            if random.random() < 0.9:
                client.says(type="auth", token="", sender="Olga", content="Hm.")
            if random.random() < 0.3:
                client.says(type="submit_turn", message="I knock.")
            if random.random() < 0.6:
                length = random.choice((1, 150, 300, 600, 1_000, 3_000))
                client.reads(length, random.choice((0.001, 0.01, 0.05, 0.1)))
        client.goes(rudely=random.random() < 0.5)
    assert {one.result(TIMEOUT).status for one in acts} == {200}
    service.wait_for(lambda: not left(service, before))


@pytest.mark.parametrize("state", ["idle", "approval", "commit", "round"])
def test_process_stops_by_itself_whoever_reads_a_table(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, state: str
) -> None:
    """Also for those who have connected and say nothing, or wait for what comes of their deeds."""
    model.default = script_of()
    rules: dict[str, dict[str, Any]] = {
        "approval": {"approval_seconds": 600},
        "commit": {"commit": "manual"},
        "round": {"mode": "rounds"},
    }
    settings = environment(model, journey_log, SHUTDOWN_GRACE_SECONDS="0.5")
    with remote(tmp_path, settings) as server, ExitStack() as open_:
        table, guests = party(server, "olga", "mara", **rules.get(state, {}))
        clients = [Client(guest, path) for guest in guests for path in paths_of(table)]
        for client in clients:
            open_.callback(client.goes, rudely=True)
        for client in clients[: len(clients) // 2]:
            client.says(type="auth", token="")
        with guests[0].follows(table) as stream:
            stream.until("metadata", phase="live")
            if state in ("round", "commit"):
                assert guests[0].acts(table).status == 202
            elif state == "approval":
                clients[1].says(type="action", content="I knock.")
                stream.until("metadata", phase="approval")
            server.process.signal(signal.SIGTERM)
            assert server.process.exit_code() == 0
            assert "graceful shutdown exceeded" not in server.process.text
