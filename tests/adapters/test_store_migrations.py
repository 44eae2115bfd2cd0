"""Database files of earlier releases: their rows are migrated and their JSON stays readable."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.sqlite.schema import MIGRATIONS
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.context import CharacterProgress
from app.core.outcome import Intents
from app.core.record import CommitRecord, Recording
from app.core.results import SubsystemSummary, Timing, Usage, Validation
from app.core.writes import WritePlan
from app.ports.store import Admitted, Busy, Orphan, Queued, TurnRequest, Writing

PROGRESS = CharacterProgress(turns=7, since_quest=2)


def in_old_words(record: CommitRecord | Recording) -> str:
    """The JSON that releases before schema version 3 wrote."""
    fields = json.loads(record.model_dump_json())
    renamed = {"progress": "standing", "user_action": "action"}
    return json.dumps({renamed.get(name, name): value for name, value in fields.items()})


def old_record() -> str:
    return in_old_words(
        CommitRecord(
            turn_id="writing",
            user_id="u",
            character_id="c",
            request_id="r",
            started_at=1.0,
            narrative="It rings.",
            tokens_streamed=2,
            plan=WritePlan(writes=(), summary=SubsystemSummary()),
            intents=Intents(),
            progress=PROGRESS,
            timing=Timing(),
            usage=Usage(),
            validation=Validation(),
        )
    )


def old_row(turn_id: str, user_id: str, phase: str, **columns: Any) -> dict[str, Any]:
    request = {"character_id": "c", "user_action": "go", "user_id": user_id, "request_id": "r"}
    return {
        "turn_id": turn_id,
        "user_id": user_id,
        "character_id": "c",
        "request": json.dumps(request),
        "status": "running",
        "phase": phase,
        "owner": "gone",
        "fence": 1,
        "created_at": 1.0,
        **columns,
    }


def write_old_database(path: Path) -> None:
    recording = Recording(user_action="go", progress=PROGRESS)
    rows = [
        old_row("writing", "u", "writing", active=1, record=old_record(), step=1, intent=2),
        old_row("queued", "u", "queued", status="queued", created_at=2.0),
        old_row(
            "done",
            "v",
            "done",
            status="complete",
            finished_at=2.0,
            result="{}",
            recording=zlib.compress(in_old_words(recording).encode()),
        ),
    ]
    with closing(sqlite3.connect(path)) as db:
        for script in MIGRATIONS[:2]:
            db.executescript(script)
        for row in rows:
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            db.execute(f"INSERT INTO turns ({names}) VALUES ({values})", row)
        db.execute("INSERT INTO characters VALUES ('c', ?)", (PROGRESS.model_dump_json(),))
        db.execute("PRAGMA user_version = 2")
        db.commit()


@pytest.fixture
def migrated(tmp_path: Path) -> SqliteTurnStore:
    write_old_database(tmp_path / "store.db")
    return SqliteTurnStore(tmp_path / "store.db", lambda: 10.0)


def adopted(store: SqliteTurnStore) -> dict[str, Orphan]:
    async def work() -> list[Orphan]:
        store.open()
        try:
            return await store.adopt()
        finally:
            await store.aclose()

    return {orphan.claim.turn_id: orphan for orphan in asyncio.run(work())}


def test_open_turns_of_an_old_database_are_adopted(migrated: SqliteTurnStore) -> None:
    orphans = adopted(migrated)
    assert set(orphans) == {"writing", "queued"}
    assert orphans["queued"].phase == "queued"
    phase = orphans["writing"].phase
    assert isinstance(phase, Writing)
    assert phase.record.progress == PROGRESS
    assert (phase.delivery.step, phase.delivery.intent) == (1, 2)


def test_an_old_recording_and_progress_are_readable(migrated: SqliteTurnStore) -> None:
    async def work() -> None:
        migrated.open()
        stored = await migrated.turn("done", recording=True)
        assert stored is not None
        assert stored.recording is not None
        assert (stored.recording.user_action, stored.recording.progress) == ("go", PROGRESS)
        assert await migrated.progress("c") == PROGRESS
        await migrated.aclose()

    asyncio.run(work())


def test_turns_of_an_old_database_hold_their_exclusive_key(migrated: SqliteTurnStore) -> None:
    async def work() -> None:
        migrated.open()
        same = TurnRequest("c", "go", "u", "r")
        assert await migrated.admit("2", same, b"") == Busy("writing")
        queued = await migrated.admit("3", same, b"", queue_limit=4)
        assert isinstance(queued, Queued)
        assert queued.position == 2
        other = TurnRequest("c", "go", "v", "r")  # knows the id of somebody else's character
        assert isinstance(await migrated.admit("4", other, b""), Admitted)
        await migrated.aclose()

    asyncio.run(work())


def test_requests_with_the_same_exclusive_key_exclude_each_other(tmp_path: Path) -> None:
    async def work() -> None:
        store = SqliteTurnStore(tmp_path / "store.db", lambda: 10.0)
        store.open()
        first = TurnRequest("c", "go", "u", "r", exclusive="table:1")
        second = TurnRequest("d", "go", "v", "r", exclusive="table:1")
        assert isinstance(await store.admit("1", first, b""), Admitted)
        assert await store.admit("2", second, b"") == Busy("1")
        assert isinstance(await store.admit("3", second, b"", queue_limit=1), Queued)
        assert await store.promote("table:1") is None
        await store.aclose()

    asyncio.run(work())
