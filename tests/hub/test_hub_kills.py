"""A server that is killed between the delivery of an event and its acknowledgement, with real hubs."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from app.adapters.store.sqlite.inspection import StoreInspector

from databases import SERVERS
from fakes.hub import RESET, FakeHub
from fakes.journey_log import FakeJourneyLog
from hub_receivers import KINDS, HttpReceiver, Receiver, receiver
from processes import Process, running
from waiting import eventually

PATIENCE = 300.0  # far more than anything takes


class Server:
    """One life of a server."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{process.port()}"

    def call(self, path: str, body: dict[str, str]) -> dict[str, str]:
        data = json.dumps(body).encode()
        request = Request(f"{self._url}{path}", data, {"Content-Type": "application/json"})
        with urlopen(request, timeout=PATIENCE) as answer:
            found: dict[str, str] = json.load(answer)
            return found

    def character(self, name: str = "Maren") -> str:
        made = self.call("/characters", {"name": name, "race": "Elf", "class_name": "Ranger"})
        return made["character_id"]

    def turn(self, character: str) -> str:
        body = {"character_id": character, "user_action": "I look around."}
        return f"turn-completed-{self.call('/turn', body)['turn_id']}"


@contextmanager
def server(folder: Path, target: Receiver, **more: str) -> Iterator[Server]:
    settings = {
        "MESSAGE_HUB_URL": target.url,
        "STORYTELLER_TOKENS_PER_SECOND": "0",
        "MAX_TURNS_PER_CHARACTER_PER_SECOND": "100",
        **target.settings,
        **more,
    }
    with running(folder, **settings) as process:
        yield Server(process)


def ids_once(target: Receiver, count: int) -> list[str]:
    """The ids of what was received, once there are so many different ones."""
    until = time.monotonic() + PATIENCE
    while len(found := [one for one, _ in target.received()]) < count or len(set(found)) < count:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def waiting_in(folder: Path, url: str) -> list[str]:
    """The ids of the events that the server's outbox holds back."""
    if url:
        schema = url.rpartition("=")[2]
        found = SERVERS.postgres.psql(f"SELECT id FROM {schema}.outbox WHERE state = 'waiting'")
        return found.splitlines()
    inspector = StoreInspector(folder / "data" / "dungeon-master.db", time.time)
    return [one["id"] for one in inspector.outbox.events(["waiting"], 9)]


def first_seen(ids: list[str]) -> list[str]:
    return list(dict.fromkeys(ids))


@pytest.mark.parametrize(
    ("kind", "store"), [*((kind, "sqlite") for kind in KINDS), ("http", "postgres")]
)
def test_an_event_whose_acknowledgement_is_lost_with_the_server_is_delivered_again(
    kind: str, store: str, tmp_path: Path, journey_log: FakeJourneyLog
) -> None:
    url = SERVERS.postgres.url() if store == "postgres" else ""
    settings = {"STORE_URL": url, "JOURNEY_LOG_BASE_URL": journey_log.url} if url else {}
    with receiver(kind, f"kills-{uuid.uuid4().hex}") as target:
        with server(tmp_path, target, **settings) as first:
            character = first.character()
            ids_once(target, 1)  # the opening
            # The server must know that, or it would wait for this answer first.
            eventually(lambda: not waiting_in(tmp_path, url), PATIENCE)
            target.wire.mute.set()
            sent = [first.turn(character) for _ in range(3)]
            ids_once(target, 2)  # the first of them has arrived, and the server cannot know it
            first.process.kill()
        target.wire.mute.clear()
        if url and isinstance(target, HttpReceiver):  # the first one is retried, the others wait
            target.fake.answers.append(503)
        with server(tmp_path, target, **settings) as second:
            sent.append(second.turn(character))
            found = ids_once(target, 5)
        assert first_seen(found)[1:] == sent
        bodies = dict(target.received())
        assert all(body == bodies[its_id] for its_id, body in target.received())
        assert [json.loads(bodies[one])["id"] for one in sent] == sent
        copies = len(found) - len(set(found))
        assert copies == 0 if kind == "nats" else copies >= 1


def test_a_hub_that_answers_late_fails_and_resets_gets_everything_in_order(tmp_path: Path) -> None:
    with FakeHub() as fake:
        target, gate = HttpReceiver(fake), threading.Event()
        fake.answers.extend([gate, 503, RESET, 500])
        with server(tmp_path, target) as served:
            characters = [served.character(name) for name in ("Maren", "Otto")]
            sent = {one: [served.turn(one) for _ in range(3)] for one in characters}
            gate.set()
            found = ids_once(target, 8)
        for one in characters:
            assert [each for each in first_seen(found) if each in sent[one]] == sent[one]
