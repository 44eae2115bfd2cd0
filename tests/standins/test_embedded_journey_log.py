"""What the embedded journey-log promises beyond the HTTP contract."""

import asyncio
import sqlite3
import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.standins.journey_log import EmbeddedJourneyLog
from app.standins.journey_log.database import connect
from app.standins.journey_log.schema import (
    AppendTurn,
    ContextQuery,
    CreateCharacter,
    CreatePoi,
    ListQuery,
    NarrativeQuery,
    PoiPageQuery,
    PoiSummaryQuery,
)
from app.standins.journey_log.store import Store
from starlette.applications import Starlette
from starlette.routing import Mount

Json = dict[str, Any]
NewThreads = Callable[[], list[threading.Thread]]
USER = {"X-User-Id": "ayla"}
NEW = {"name": "Ayla", "race": "Elf", "class": "Mage", "adventure_prompt": "A road."}
TURN = {"user_action": "look", "ai_response": "A hall."}
QUEST = {
    "name": "Find the key",
    "description": "It is lost.",
    "rewards": {},
    "completion_state": "not_started",
    "updated_at": "2026-01-01T00:00:00.123457Z",
}
INTERNAL_ERROR = {"error", "message", "request_id"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "er" / "journey-log.db"


@pytest.fixture
def new_threads() -> NewThreads:
    """The threads started since the test began: other tests may have left theirs behind."""
    before = set(threading.enumerate())
    return lambda: [thread for thread in threading.enumerate() if thread not in before]


@contextmanager
def opened(path: Path | str) -> Iterator[EmbeddedJourneyLog]:
    journey_log = EmbeddedJourneyLog(path)
    journey_log.open()
    try:
        yield journey_log
    finally:
        journey_log.close()


def client(app: Starlette, *, raising: bool = True) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=raising)
    return httpx.AsyncClient(transport=transport, base_url="http://journey-log", headers=USER)


def call(app: Starlette, method: str, url: str, json: Any = None, **how: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        async with client(app, **how) as http:
            return await http.request(method, url, json=json)

    return asyncio.run(once())


def create(app: Starlette) -> str:
    answer = call(app, "POST", "/characters", NEW)
    assert answer.status_code == 201, answer.text
    return f"/characters/{answer.json()['character']['character_id']}"


@contextmanager
def write_locked(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db


def test_everything_is_kept_when_the_file_is_opened_again(path: Path) -> None:
    with opened(path) as journey_log:
        hero = create(journey_log.app)
        call(journey_log.app, "POST", f"{hero}/narrative", TURN)
        call(journey_log.app, "PUT", f"{hero}/quest", QUEST)
        call(journey_log.app, "POST", f"{hero}/pois", {"name": "Admission", "description": "Old."})
        before = call(journey_log.app, "GET", f"{hero}/context?include_pois=true").json()
    with opened(str(path)) as journey_log:
        assert call(journey_log.app, "GET", f"{hero}/context?include_pois=true").json() == before
    assert before["quest"]["name"] == "Find the key"


def test_one_instance_can_be_closed_and_opened_again(path: Path) -> None:
    journey_log = EmbeddedJourneyLog(path)
    for _ in range(2):
        journey_log.open()
        journey_log.open()
        assert call(journey_log.app, "GET", "/characters").status_code == 200
        journey_log.close()
        journey_log.close()


def test_nothing_is_touched_before_open(path: Path, new_threads: NewThreads) -> None:
    EmbeddedJourneyLog(path)
    assert not path.parent.exists()
    assert new_threads() == []


def test_the_file_and_its_log_are_readable_by_the_owner_only(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch(0o644)
    with opened(path) as journey_log:
        create(journey_log.app)
        files = list(path.parent.iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert len(files) > 1


def test_a_commit_is_on_disk_before_it_is_answered(path: Path) -> None:
    with closing(connect(path)) as db:
        pragmas = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_file_of_a_newer_release_is_refused_and_left_alone(
    path: Path, new_threads: NewThreads
) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    journey_log = EmbeddedJourneyLog(path)
    with pytest.raises(RuntimeError, match="newer release"):
        journey_log.open()
    assert new_threads() == []
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def test_a_file_that_is_no_database_is_refused(path: Path, new_threads: NewThreads) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database, but long enough to look at" * 50)
    with pytest.raises(sqlite3.DatabaseError):
        EmbeddedJourneyLog(path).open()
    assert new_threads() == []


def test_two_instances_on_one_file_see_and_respect_each_other(path: Path) -> None:
    with opened(path) as first, opened(path) as second:
        hero = create(first.app)
        assert call(second.app, "PUT", f"{hero}/quest", QUEST).status_code == 200
        assert call(first.app, "PUT", f"{hero}/quest", QUEST).status_code == 409
        assert call(first.app, "GET", f"{hero}/quest").json()["quest"]["rewards"]["items"] == []


def test_parallel_turns_through_two_instances_leave_no_gap(path: Path) -> None:
    async def race(hero: str, *apps: Starlette) -> list[int]:
        async with client(apps[0]) as one, client(apps[1]) as two:
            posts = [http.post(f"{hero}/narrative", json=TURN) for http in (one, two) * 6]
            return [answer.json()["total_turns"] for answer in await asyncio.gather(*posts)]

    with opened(path) as first, opened(path) as second:
        totals = asyncio.run(race(create(first.app), first.app, second.app))
    assert sorted(totals) == list(range(1, 13))


def test_a_write_that_waits_for_the_file_does_not_hold_the_event_loop(path: Path) -> None:
    async def scene(journey_log: EmbeddedJourneyLog, hero: str) -> None:
        async with client(journey_log.app) as http:
            with write_locked(path) as lock:
                write = asyncio.create_task(http.post(f"{hero}/narrative", json=TURN))
                for _ in range(20):
                    assert (await http.get("/health")).status_code == 200
                assert not write.done()
                lock.execute("ROLLBACK")
                assert (await asyncio.wait_for(write, 300)).status_code == 201

    with opened(path) as journey_log:
        asyncio.run(scene(journey_log, create(journey_log.app)))


def test_all_work_runs_on_one_thread_that_ends_with_close(
    path: Path, new_threads: NewThreads
) -> None:
    async def many(app: Starlette, hero: str) -> None:
        async with client(app) as http:
            await asyncio.gather(*(http.get(f"{hero}/context") for _ in range(20)))

    with opened(path) as journey_log:
        asyncio.run(many(journey_log.app, create(journey_log.app)))
        assert len(new_threads()) == 1
    assert new_threads() == []


def test_embedded_journey_log_works_below_a_prefix(path: Path) -> None:
    with opened(path) as journey_log:
        outer = Starlette(routes=[Mount("/journey-log", journey_log.app)])
        answer = call(outer, "POST", "/journey-log/characters", NEW)
        assert answer.status_code == 201
        assert answer.headers["x-request-id"]
        redirect = call(outer, "GET", "/journey-log/characters/")
        assert redirect.headers["location"] == "http://journey-log/journey-log/characters"
        assert call(outer, "GET", "/journey-log/nowhere").json() == {"detail": "Not Found"}


def test_failing_file_is_answered_with_a_500_without_details(path: Path) -> None:
    with opened(path) as journey_log:
        hero = create(journey_log.app)
        with closing(sqlite3.connect(path)) as db:
            db.execute("DROP TABLE turns")
        answer = call(journey_log.app, "POST", f"{hero}/narrative", TURN)
        assert call(journey_log.app, "GET", hero).status_code == 200
    assert answer.status_code == 500
    assert set(answer.json()) == INTERNAL_ERROR
    assert answer.json()["error"] == "internal_error"
    assert "turns" not in answer.json()["message"]


def test_a_failed_write_leaves_nothing_behind(path: Path) -> None:
    with opened(path) as journey_log:
        hero = create(journey_log.app)
        before = call(journey_log.app, "GET", hero).json()
        with closing(sqlite3.connect(path)) as db:
            db.execute(
                "CREATE TRIGGER full BEFORE UPDATE ON characters"
                " BEGIN SELECT raise(ABORT, 'disk full'); END"
            )
        poi = {"name": "Admission", "description": "Old."}
        assert call(journey_log.app, "POST", f"{hero}/pois", poi).status_code == 500
        assert call(journey_log.app, "GET", f"{hero}/pois").json()["pois"] == []
        assert call(journey_log.app, "GET", hero).json() == before


def test_a_request_before_open_is_a_500(path: Path) -> None:
    answer = call(EmbeddedJourneyLog(path).app, "GET", "/characters", raising=False)
    assert answer.status_code == 500
    assert set(answer.json()) == INTERNAL_ERROR
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_long_history_is_read_by_index_alone(path: Path) -> None:
    """No query of the turn's path may visit or sort a character's whole history."""
    statements: list[str] = []
    with closing(connect(path)) as db:
        store = Store(db)
        db.set_trace_callback(statements.append)
        exercise(store)
        db.set_trace_callback(None)
        reads = [text for text in statements if text.startswith("SELECT")]
        plans = [
            row["detail"] for text in reads for row in db.execute(f"EXPLAIN QUERY PLAN {text}")
        ]
    assert len(reads) > 10
    assert [plan for plan in plans if "SCAN" in plan or "TEMP B-TREE" in plan] == []


def exercise(store: Store) -> None:
    sheet = store.create_character("ayla", CreateCharacter.model_validate(NEW))["character"]
    key = sheet["character_id"]
    store.append_turn(key, "ayla", AppendTurn.model_validate(TURN))
    for n in range(2):
        at = f"2026-01-0{n + 1}T00:00:00Z"
        body = CreatePoi(name="Admission", description="Old.", timestamp=at)
        store.create_poi(key, "ayla", body)
    store.narrative(key, None, NarrativeQuery())
    store.narrative(key, None, NarrativeQuery(since="2026-01-01T00:00:00Z"))
    store.context(key, None, ContextQuery(include_pois=True))
    cursor = store.poi_page(key, None, PoiPageQuery(limit=1))["cursor"]
    store.poi_page(key, None, PoiPageQuery(limit=1, cursor=cursor))
    store.poi_summary(key, None, PoiSummaryQuery())
    store.characters("ayla", ListQuery())


def test_ids_it_makes_are_never_those_of_another_file(tmp_path: Path) -> None:
    keys = set()
    for name in ("a.db", "b.db"):
        with opened(tmp_path / name) as journey_log:
            keys.add(uuid.UUID(create(journey_log.app).rpartition("/")[2]))
    assert len(keys) == 2
