"""What every `JournalInspector` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.inspection import PostgresInspector
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.sqlite.inspection import StoreInspector
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.hub import session_event
from app.ports.inspection import CannotSettle, JournalInspector, TurnFilter
from app.ports.outbox import Failure
from app.ports.store import TurnStore, Writing

from databases import SERVERS
from journal import (
    HASH,
    NOON,
    Hands,
    add_event,
    ending,
    entries,
    planned,
    record,
    recording,
    turn_request,
)
from loops import in_loop


def on_postgres(_: Path, now: Hands) -> PostgresTurnStore:
    database = Database(SERVERS.postgres.emptied())
    return PostgresTurnStore(database, now, on_fatal=_unexpected)


def _unexpected(reason: str) -> None:
    raise AssertionError(reason)


def beside_postgres(_: Path, now: Hands) -> PostgresInspector:
    return PostgresInspector(Database(SERVERS.postgres.url("emptied")), now)


ADAPTERS: dict[str, tuple[Callable[[Path, Hands], Any], Callable[[Path, Hands], Any]]] = {
    "sqlite": (SqliteTurnStore, StoreInspector),
    "postgres": (on_postgres, beside_postgres),
}


class Seat:
    """An operator's seat beside a running store."""

    def __init__(self, adapter: str, path: Path) -> None:
        self.clock = Hands()
        self._store, self._inspector = ADAPTERS[adapter]
        self._path = path

    def store(self) -> Any:
        store = self._store(self._path, self.clock)
        store.open()
        return store

    @property
    def inspector(self) -> JournalInspector:
        found: JournalInspector = self._inspector(self._path, self.clock)
        return found

    def listed(self, which: Any) -> list[str]:
        """The ids of what is shown."""
        return [turn["turn_id"] for turn in self.inspector.turns(which, 10)]


@pytest.fixture(params=list(ADAPTERS))
def seat(request: pytest.FixtureRequest, tmp_path: Path) -> Seat:
    return Seat(request.param, tmp_path / "store.db")


async def writing(store: TurnStore, turn_id: str = "t1", **fields: Any) -> None:
    """A turn whose first of two writes is under way."""
    request = turn_request(**{"character_id": turn_id, **fields})
    found: Any = await store.admit(turn_id, request, HASH)
    await found.durable
    plan = record(turn_id, planned(1, "quest"), planned(2))
    await store.validate(found.claim, plan, entries(1, 3), recording())


@in_loop
async def test_turns_are_listed_by_their_problem(seat: Seat) -> None:
    store = seat.store()
    found: Any = await store.admit("t2", turn_request(), HASH)
    await found.durable
    await store.finish(found.claim, ending("error"))
    seat.clock.now += 1
    await writing(store)
    assert seat.listed("failed") == ["t2"]
    assert seat.listed("open") == ["t1"]
    assert seat.listed("unknown") == []
    seat.clock.now += 6
    assert seat.listed("unknown") == ["t1"]
    await store.aclose()


@in_loop
async def test_turns_are_filtered(seat: Seat) -> None:
    store = seat.store()
    for number, (user, character) in enumerate([("mara", "a"), ("mara", "b"), ("ber\0", "c")]):
        seat.clock.now = NOON + number
        await writing(store, f"t{number}", user_id=user, character_id=character)

    def listed(**only: Any) -> list[str]:
        found = seat.inspector.turns("open", 9, TurnFilter(**only))
        return [turn["turn_id"] for turn in found]

    assert listed() == ["t2", "t1", "t0"]
    assert listed(user_id="mara") == ["t1", "t0"]
    assert listed(user_id="ber\0", character_id="c") == ["t2"]
    assert listed(user_id="mara", character_id="c") == []
    assert listed(since=NOON + 1) == ["t2", "t1"]
    seat.clock.now += 6
    unknown = seat.inspector.turns("unknown", 9, TurnFilter(character_id="a", since=NOON))
    assert [turn["turn_id"] for turn in unknown] == ["t0"]
    await store.aclose()


@pytest.mark.parametrize(
    ("kind", "written", "listed"),
    [
        ("turn", {"narrative_persisted": True}, "complete"),
        ("turn", {"narrative_persisted": False}, "failed"),
        ("turn", {"narrative_persisted": False, "dry_run": True}, "complete"),
        ("table", {"narrative_persisted": True}, "complete"),
        ("chat", {"narrative_persisted": False}, "complete"),
    ],
)
@in_loop
async def test_a_turn_that_had_nothing_to_write_has_not_failed(
    seat: Seat, kind: str, written: dict[str, bool], listed: str
) -> None:
    store = seat.store()
    found: Any = await store.admit("t1", turn_request(kind=kind), HASH)
    await found.durable
    await store.finish(found.claim, ending(result={"subsystem_summary": written}))
    assert {which: seat.listed(which) for which in ("complete", "failed")} == {
        "complete": ["t1"] if listed == "complete" else [],
        "failed": ["t1"] if listed == "failed" else [],
    }
    await store.aclose()


@in_loop
async def test_a_turn_is_shown_with_its_plan_and_how_far_it_came(seat: Seat) -> None:
    store = seat.store()
    await writing(store)
    shown = seat.inspector.journal("t1")
    assert shown is not None
    assert (shown["phase"], shown["step"], shown["intent"]) == ("writing", 0, 1)
    assert [write["subsystem"] for write in shown["writes"]] == ["quest", "narrative"]
    assert [write["state"] for write in shown["writes"]] == ["under way", "waiting"]
    assert shown["created_at"] == NOON
    assert shown["events"] == 3
    json.dumps(shown)
    stored, kept = seat.inspector.stored("t1")
    assert stored is not None
    assert stored.recording == recording()
    assert kept == entries(1, 3)
    await store.aclose()


@in_loop
async def test_an_unknown_turn_is_none(seat: Seat) -> None:
    store = seat.store()
    assert seat.inspector.journal("t9") is None
    assert seat.inspector.stored("t9") == (None, [])
    await store.aclose()


@pytest.mark.parametrize("landed", [True, False])
@in_loop
async def test_settling_by_hand_records_a_receipt_and_takes_the_turn(
    seat: Seat, landed: bool
) -> None:
    store = seat.store()
    await writing(store)
    assert seat.inspector.settle("t1", landed=landed) == "quest"
    (orphan,) = await store.adopt()
    assert isinstance(orphan.phase, Writing)
    assert (orphan.phase.delivery.step, orphan.phase.delivery.intent) == (1, 1)
    seq, kind, data = orphan.entries[-1]
    assert (seq, kind) == (4, "write")
    assert json.loads(data)["success"] is landed
    await store.aclose()


@in_loop
async def test_only_a_write_under_way_can_be_settled(seat: Seat) -> None:
    store = seat.store()
    found: Any = await store.admit("t2", turn_request(), HASH)
    await found.durable
    for turn in ("t2", "t9"):
        with pytest.raises(CannotSettle):
            seat.inspector.settle(turn, landed=True)
    await store.aclose()


@in_loop
async def test_events_for_other_services_are_shown_and_changed(seat: Seat) -> None:
    store = seat.store()
    for number in range(4):
        event = session_event("session.joined", number, f"e{number}", "mara", {"n": "\0"})
        await add_event(store.tables, event)
    first, second, *_ = await store.outbox.take_events((), 9)
    await store.outbox.event_failed(first.number, Failure(10, "status 400", None))
    await store.outbox.event_failed(second.number, Failure(3, "status 422", 60.0))
    outbox = seat.inspector.outbox
    (dead,) = outbox.events(["dead"], 9)
    assert (dead["id"], dead["reason"]) == ("session-joined-e0", "status 400")
    assert (dead["refusals"], dead["subject"], dead["user_id"]) == (10, "sessions/0", "mara")
    waiting = [one["id"] for one in outbox.events(["waiting"], 9)]
    assert waiting == [f"session-joined-e{number}" for number in (1, 2, 3)]
    assert len(outbox.events(["dead", "waiting"], 3)) == 3
    assert outbox.change_events(["session-joined-e1", "none"], "dropped") == 1
    assert outbox.change_events(["session-joined-e1"], "waiting") == 0
    assert outbox.change_events(None, "waiting") == 1
    assert outbox.change_events(None, "waiting") == 0
    again = await store.outbox.take_events((), 9)
    assert [one.id for one in again] == [f"session-joined-e{number}" for number in (0, 2, 3)]
    assert again[0].refusals == 0
    await store.aclose()
