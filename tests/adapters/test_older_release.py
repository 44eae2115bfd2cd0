"""A database that an older release wrote: its turns are read, replayed and finished by this one.

`older_release.zip` holds a `store.db` of schema version 2, the ids of its turns by name, and of each
turn the bytes that the older release served. It was killed while `streaming` ran and `queued` waited.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest
from app.adapters.event_log.memory import MemoryEventLog
from app.adapters.store.sqlite.inspection import StoreInspector
from app.core.events import LOST_END
from app.turns.replay import replay

from fakes.journey_log import FakeJourneyLog
from serving import Served, seq_of

ARCHIVE = Path(__file__).parent / "older_release.zip"
ENDED = ["opening", "quest", "fight", "keyed", "paced", "failed", "cancelled", "interrupted"]


def served_before(name: str) -> bytes:
    """What the older release sent; its `retry` was a block of its own, now it is in the first one."""
    with ZipFile(ARCHIVE) as archive:
        return archive.read(f"{name}.sse").replace(b"retry: 2000\n\n", b"retry: 2000\n", 1)


@pytest.fixture(scope="module")
def turns() -> dict[str, str]:
    with ZipFile(ARCHIVE) as archive:
        found: dict[str, str] = json.loads(archive.read("turns.json"))
        return found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """As if it had been written just now, so that nothing in it has expired."""
    with ZipFile(ARCHIVE) as archive:
        path = Path(archive.extract("store.db", tmp_path))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        (newest,) = db.execute("SELECT MAX(created_at) FROM turns").fetchone()
        db.execute(
            "UPDATE turns SET created_at = created_at + :by, finished_at = finished_at + :by",
            {"by": time.time() - newest},
        )
    return path


@pytest.fixture
def upgraded(serve: Callable[..., Served], store: Path) -> Served:
    return serve(store_url=f"sqlite:///{store}")


@pytest.mark.parametrize("name", ENDED)
def test_a_turn_of_an_older_release_is_replayed_byte_for_byte(
    upgraded: Served, turns: dict[str, str], name: str
) -> None:
    path, before = f"/turns/{turns[name]}/events", served_before(name)
    whole = upgraded.stream("GET", path)
    assert whole.body == before
    for count, frame in enumerate(whole.frames[:-1], start=1):
        rest = upgraded.stream("GET", f"{path}?after={seq_of(frame)}")
        assert rest.frames == whole.frames[count:]
    assert upgraded.call("GET", f"{path}?after={seq_of(whole.frames[-1])}").status == 204


def test_an_idempotency_key_of_an_older_release_replays_its_turn(
    upgraded: Served, store: Path, turns: dict[str, str]
) -> None:
    with closing(sqlite3.connect(store)) as db:
        (character,) = db.execute(
            "SELECT character_id FROM turns WHERE turn_id = ?", (turns["keyed"],)
        ).fetchone()
    body = {"character_id": character, "user_action": "I follow the smell of smoke."}
    again = upgraded.stream("POST", "/turn/stream", body, Idempotency_Key="smoke-1")
    assert again.body == served_before("keyed")


def test_turns_that_an_older_release_left_open_are_ended(
    upgraded: Served, turns: dict[str, str]
) -> None:
    """One that streamed was interrupted; one that waited goes on behind what it has in the journal."""
    streaming = upgraded.stream("GET", f"/turns/{turns['streaming']}/events")
    assert (streaming.last["error_type"], seq_of(streaming.frames[-1])) == (
        "interrupted",
        LOST_END,
    )
    queued = upgraded.stream("GET", f"/turns/{turns['queued']}/events")
    assert queued.body.startswith(served_before("queued"))
    assert [seq_of(frame) for frame in queued.frames] == list(range(1, len(queued.frames) + 1))
    assert queued.last["error_type"] == "character_not_found"  # the fake does not know it
    assert upgraded.stream("GET", f"/turns/{turns['queued']}/events").body == queued.body


def test_recording_of_an_older_release_is_replayed(
    upgraded: Served, store: Path, turns: dict[str, str], journey_log: FakeJourneyLog
) -> None:
    async def again() -> object:
        stored, entries = StoreInspector(store, time.time).stored(turns["fight"])
        assert stored is not None
        return (await replay(stored, entries, MemoryEventLog())).differences

    assert asyncio.run(again()) == []


def test_the_command_line_refuses_a_database_that_was_not_upgraded(store: Path) -> None:
    with pytest.raises(RuntimeError, match="start this one once"):
        StoreInspector(store, time.time)


def test_new_turns_beside_old_ones_are_replayed_too(
    upgraded: Served, journey_log: FakeJourneyLog, turns: dict[str, str]
) -> None:
    stream = upgraded.turn(journey_log.seed_character())
    assert upgraded.stream("GET", f"/turns/{stream.turn_id}/events").body == stream.body
