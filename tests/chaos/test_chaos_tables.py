"""A table whose server is killed: nothing is lost, doubled or reordered."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.table_prompt import BEHIND, WINDOW
from app.tables.budget import RESERVED

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog, late
from fakes.model import FakeModel, Script
from journal import NOON
from remote import Remote, environment, remote
from serving import Reply, aside, refused
from tabling import NARRATIVE, RESPONSE, Guest, party, script_of

STORY = f"{NARRATIVE}\n\n{RESPONSE}"
QUIET = {"QUEST_TRIGGER_PROB": "0", "POI_TRIGGER_PROB": "0"}
KEY = {"Idempotency_Key": "k1"}
SETTLES = {"JOURNEY_LOG_TIMEOUT": "1", "JOURNEY_LOG_SETTLE_SECONDS": "1.2"}


def kill(server: Remote) -> None:
    server.process.signal(signal.SIGKILL)
    assert server.process.exit_code() == -signal.SIGKILL


def acted(guest: Guest, table: int, action: str, **headers: str) -> Reply | None:
    """None: the server died meanwhile."""
    with suppress(OSError, HTTPException):
        return guest.acts(table, action, **headers)
    return None


def returned(guest: Guest, server: Remote) -> Guest:
    """The same user at the next server."""
    return Guest(server, guest.name)


def approve(guest: Guest, table: int, body: dict[str, str]) -> None:
    """As soon as something waits for it."""
    guest.service.wait_for(lambda: guest.call("POST", f"/{table}/approval", body).status == 202)


def events_of(guest: Guest, table: int, last: str = "", turns: int = 0) -> list[dict[str, Any]]:
    """What a reader is sent behind the event `last`, until so many turns have ended."""
    headers = {"Last_Event_ID": last} if last else {}
    with guest.follows(table, **headers) as stream:
        while len([e for e in stream.seen.events if e["type"] in ("complete", "error")]) < turns:
            stream.frames(len(stream.seen.frames) + 1)
        return stream.seen.events


def both_act(table: int, first: Guest, second: Guest) -> None:
    """The whole round of a table of two."""
    for guest, action in ((first, "one"), (second, "two")):
        assert guest.acts(table, action).status == 202


def held_script(model: FakeModel) -> threading.Event:
    """Of the next answer, what follows its sixth piece waits until it is set."""
    model.default, gate = script_of(), threading.Event()
    model.then(Script(model.default.text, gate=gate, gate_after=6))
    return gate


def test_kill_in_mid_stream_ends_that_turn_and_the_queue_goes_on(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    settings, gate = environment(model, journey_log, **QUIET), held_script(model)
    with remote(tmp_path, settings) as server:
        table, (owner, mara, otto) = party(server, "olga", "mara", "otto")
        with mara.follows(table) as stream:
            first = aside(acted, owner, table, "one", **KEY)
            stream.until("token")
            waiting = [aside(acted, mara, table, "two")]
            stream.until("message", content="two")
            waiting.append(aside(acted, otto, table, "three"))
            stream.until("message", content="three")
            server.wait_for(lambda: server.metric("dungeon_master_turns_running") == 3)
            last = stream.seen.frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
            kill(server)
    gate.set()
    assert [one.result(300) for one in (first, *waiting)] == [None] * 3
    with remote(tmp_path, settings) as server:
        rest = events_of(returned(mara, server), table, last, turns=3)
        ends = [e["type"] for e in rest if e["type"] in ("complete", "error")]
        assert ends == ["error", "complete", "complete"]
        (failed,) = [event for event in rest if event["type"] == "error"]
        assert (failed["error_type"], failed["recoverable"]) == ("interrupted", True)
        starts = [e["user_action"] for e in rest if e.get("phase") == "start"]
        assert starts == ["two", "three"]
        said = [
            (row["message_type"], row["content"]) for row in returned(owner, server).messages(table)
        ]
        deeds = [("player", action) for action in ("one", "two", "three")]
        assert said[-5:] == [*deeds, ("dm", STORY), ("dm", STORY)]
        assert returned(otto, server).acts(table, "four").status == 200
        again = returned(owner, server)
        assert again.acts(table, "one", **KEY).status == 200  # a turn of its own; its line is there
        assert [row["content"] for row in again.messages(table)].count("one") == 1


@pytest.mark.parametrize("hold", ["commit", "answer"])
def test_kill_while_the_journey_is_written_narrates_and_writes_once(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, hold: Any
) -> None:
    model.default = script_of()
    settings = environment(model, journey_log, **QUIET)
    settings |= SETTLES
    character = journey_log.seed_character("olga")
    gate = threading.Event()
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(server, "olga", "mara", character_id=character)
        journey_log.fail("narrative", late(gate, hold=hold))
        with mara.follows(table) as stream:
            deed = aside(acted, owner, table, "one")
            stream.until("metadata", phase="writes")
            journey_log.wait_for(lambda: any("narrative" in r.path for r in journey_log.requests))
            last = stream.seen.frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
            kill(server)
        assert deed.result(300) is None
    gate.set()
    with remote(tmp_path, settings) as server:
        rest = events_of(returned(mara, server), table, last, turns=1)
        assert [event["type"] for event in rest][-2:] == ["write", "complete"]
        assert journey_log.narratives(character) == [STORY]
        stories = [
            row for row in returned(owner, server).messages(table) if row["content"] == STORY
        ]
        assert len(stories) == 1
        assert returned(mara, server).acts(table, "two").status == 200


@pytest.mark.parametrize("expired", [False, True])
def test_kill_in_a_round_keeps_its_deeds_and_plays_it_once(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, expired: bool
) -> None:
    """Expired: its deadline passes while there is no process."""
    model.default = script_of()
    settings = environment(model, journey_log, **QUIET)
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(server, "olga", "mara", mode="rounds", round_seconds=3_600)
        assert owner.acts(table, "one").status == 202
        kill(server)
    if expired:
        asyncio.run(expire(tmp_path / "store.db", table))
    with remote(tmp_path, settings) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        if not expired:
            seen = owner.call("GET", f"/{table}/round").json()
            assert (seen["acted"], seen["waiting"]) == (["Olga"], ["Mara"])
            assert mara.acts(table, "two").status == 202
        rest = events_of(owner, table, turns=1)
        (start,) = [event for event in rest if event.get("phase") == "start"]
        deeds = ["one"] if expired else ["one", "two"]
        assert [deed["user_action"] for deed in start["deeds"]] == deeds
        said = [(row["message_type"], row["content"]) for row in owner.messages(table)]
        assert [row for row in said if row[0] != "system"] == [
            *(("player", deed) for deed in deeds),
            ("dm", STORY),
        ]
    assert len(model.calls) == 1


async def expire(path: Path, table: int) -> None:
    """Let the deadline of the open round be long past."""
    store = SqliteTurnStore(path, lambda: NOON)
    store.open()
    await store.tables.change_round(
        table, lambda known: known.model_copy(update={"until": 0.0}), NOON
    )
    await store.aclose()


@pytest.mark.parametrize(("how", "calls"), [("edited", 2), ("retold", 3), ("undecided", 1)])
def test_kill_while_a_narration_waits_for_approval_loses_nothing_of_it(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, how: str, calls: int
) -> None:
    """Undecided: its time is up after the kill, or just before. Otherwise a turn waits behind it."""
    model.default, gate = script_of(), threading.Event()
    settings = environment(model, journey_log, **QUIET)
    character, decided = journey_log.seed_character("mara"), how != "undecided"
    with remote(tmp_path, settings) as server:
        seconds = 3_600 if decided else 1
        table, (owner, mara) = party(server, "olga", "mara", approval_seconds=seconds)
        mara.joins(table, character_id=character)
        with mara.follows(table) as stream, owner.follows(table) as above:
            deeds = [aside(acted, mara, table, "one")]
            stream.until("metadata", phase="approval")
            if decided:
                deeds.append(aside(acted, owner, table, "two"))
                server.wait_for(lambda: server.metric("dungeon_master_turns_running") == 2)
            if how == "retold":
                above.until("metadata", phase="approval")
                model.then(Script(script_of(narrative="No.").text, gate=gate, gate_after=6))
                asked = {"decision": "retell"}
                assert owner.call("POST", f"/{table}/approval", asked).status == 202
                above.until("draft")
            kill(server)
        for deed in deeds:
            deed.result(300)
    gate.set()
    last = stream.seen.frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
    with remote(tmp_path, settings) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        told = f"Still.\n\n{RESPONSE}" if decided else STORY
        for body in ({"narrative": "Still."}, {}) if decided else ():
            approve(owner, table, body)
        rest = events_of(mara, table, last, turns=len(deeds))
        text = "".join(event["content"] for event in rest if event["type"] == "token")
        shown = [told, STORY][: len(deeds)]
        assert text == "".join(shown).replace("\n\n", "")
        assert "draft" not in str(stream.seen.events + rest)
        assert journey_log.narratives(character) == [told]
        said = [row["content"] for row in mara.messages(table)]
        assert said[-2 * len(deeds) :] == ["one", "two"][: len(deeds)] + shown
    assert len(model.calls) == calls


@pytest.mark.parametrize("hold", [None, "commit", "answer"])
def test_kill_behind_an_approval_commits_what_was_approved_once(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, hold: Any
) -> None:
    model.default = script_of()
    settings = environment(model, journey_log, **QUIET, **SETTLES)
    character, gate = journey_log.seed_character("mara"), threading.Event()
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(server, "olga", "mara", approval_seconds=3_600)
        mara.joins(table, character_id=character)
        if hold is not None:
            journey_log.fail("narrative", late(gate, hold=hold))
        with mara.follows(table) as stream:
            deed = aside(acted, mara, table, "one")
            stream.until("metadata", phase="approval")
            last = stream.seen.frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
            edited = owner.call("POST", f"/{table}/approval", {"narrative": "Still."})
            assert edited.status == 202
            if hold is not None:
                journey_log.wait_for(lambda: any(map(_writes_narrative, journey_log.requests)))
            kill(server)  # without a write that is held, wherever it is
        deed.result(300)
    gate.set()
    if hold is not None:
        journey_log.wait_for(lambda: journey_log.narratives(character))
    approved = f"Still.\n\n{RESPONSE}"
    with remote(tmp_path, settings) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        rest = events_of(mara, table, last, turns=1)
        assert "".join(e["content"] for e in rest if e["type"] == "token") == f"Still.{RESPONSE}"
        assert rest[-1]["type"] == "complete"
        refused(owner.call("POST", f"/{table}/approval"), 409, "not_awaiting_commit")
        assert journey_log.narratives(character) == [approved]
        assert [row["content"] for row in owner.messages(table)].count(approved) == 1
    assert len(model.calls) == 1


@pytest.mark.parametrize("passed", [0, 1])
def test_kill_while_a_round_is_written_completes_every_journey_once(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, passed: int
) -> None:
    model.default = script_of()
    settings = environment(model, journey_log, **QUIET, **SETTLES)
    characters = [journey_log.seed_character(name) for name in ("olga", "mara")]
    gate = threading.Event()
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(server, "olga", "mara", mode="rounds", round_seconds=0)
        for guest, character in zip((owner, mara), characters, strict=True):
            guest.joins(table, character_id=character)
        journey_log.fail("narrative", *[None] * passed, late(gate, hold="answer"))
        both_act(table, owner, mara)
        journey_log.wait_for(
            lambda: len(list(filter(_writes_narrative, journey_log.requests))) == passed + 1
        )
        kill(server)
    gate.set()
    journey_log.wait_for(lambda: sum(map(len, map(journey_log.narratives, characters))) > passed)
    with remote(tmp_path, settings) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        rest = events_of(owner, table, turns=1)
        written = [(e["subsystem"], e["success"]) for e in rest if e["type"] == "write"]
        assert written == [("narrative", True)] * 2
        assert [journey_log.narratives(one) for one in characters] == [[STORY], [STORY]]
        server.wait_for(lambda: owner.call("GET", f"/{table}/round").json()["round"] == 2)
    assert len(model.calls) == 1


def _writes_narrative(request: Any) -> bool:
    return bool(request.method == "POST" and request.path.endswith("/narrative"))


STORES: dict[str, Callable[[], str]] = {
    "sqlite": lambda: "sqlite:///store.db",
    "postgres": lambda: SERVERS.postgres.emptied(),
}


@pytest.fixture(params=list(STORES))
def durable(
    request: pytest.FixtureRequest, model: FakeModel, journey_log: FakeJourneyLog
) -> dict[str, str]:
    return environment(model, journey_log, **QUIET, STORE_URL=STORES[request.param]())


def collected_by(guest: Guest, table: int) -> dict[str, Any]:
    shown = guest.call("GET", f"/{table}/round").json()
    assert isinstance(shown, dict)
    return shown


def round_deeds(start: dict[str, Any]) -> tuple[int, list[str]]:
    return start["round"], [deed["user_action"] for deed in start["deeds"]]


MOVES_ON = "The story moves on to something else."
AGAIN = "Round 1 was interrupted. It is played again."


def test_kill_during_the_turn_of_a_round_plays_it_again_before_the_next_one(
    tmp_path: Path, durable: dict[str, str], model: FakeModel
) -> None:
    gate = held_script(model)
    with remote(tmp_path, durable) as server:
        table, (owner, mara) = party(server, "olga", "mara", mode="rounds", round_seconds=0)
        with mara.follows(table) as stream:
            both_act(table, owner, mara)
            stream.until("token")
            assert owner.acts(table, "three").status == 202  # of the next round
            stream.until("message", content="three")
            last = stream.seen.frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
            kill(server)
    gate.set()
    with remote(tmp_path, durable) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        rest = events_of(mara, table, last, turns=2)
        ends = [e["type"] for e in rest if e["type"] in ("complete", "error")]
        assert ends == ["error", "complete"]
        (start,) = [event for event in rest if event.get("phase") == "start"]
        assert round_deeds(start) == (1, ["one", "two"])
        assert [e["content"] for e in rest if e["type"] == "message"] == [AGAIN]
        assert collected_by(owner, table)["acted"] == ["Olga"]
        with owner.follows(table) as stream:
            stream.until("metadata", phase="live")
            assert mara.acts(table, "four").status == 202
            start = stream.until("metadata", phase="start")
            assert round_deeds(start) == (2, ["three", "four"])
            stream.until("complete")
        said = [row["content"] for row in owner.messages(table)]
        assert said[-7:] == ["one", "two", "three", AGAIN, STORY, "four", STORY]
    assert len(model.calls) == 3


def test_round_that_is_killed_again_and_again_is_kept_and_waits(
    tmp_path: Path, durable: dict[str, str], model: FakeModel
) -> None:
    gates = [held_script(model) for _ in range(2)]
    with remote(tmp_path, durable) as server:
        table, (owner, mara) = party(server, "olga", "mara", mode="rounds", round_seconds=0)
        with mara.follows(table) as stream:
            both_act(table, owner, mara)
            stream.until("token")
            kill(server)
    gates[0].set()
    with remote(tmp_path, durable) as server, returned(mara, server).follows(table) as stream:
        stream.until("error")
        stream.until("token")  # it is played again
        kill(server)
    gates[1].set()
    with remote(tmp_path, durable) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        server.wait_for(lambda: collected_by(owner, table)["round"] == 1)
        shown = collected_by(owner, table)
        assert (shown["acted"], shown["failed"], shown["until"]) == (["Olga", "Mara"], True, None)
        assert len(model.calls) == 2
        with owner.follows(table) as stream:
            stream.until("metadata", phase="live")
            assert owner.call("POST", f"/{table}/round/close").json()["round"] == 2
            assert round_deeds(stream.until("metadata", phase="start")) == (1, ["one", "two"])
            stream.until("complete")
        said = [row for row in owner.messages(table) if row["message_type"] != "system"]
        assert [row["content"] for row in said] == ["one", "two", STORY]
    assert len(model.calls) == 3


@pytest.mark.parametrize("point", ["closed", "begun", "ended", "again"])
def test_kill_between_two_steps_of_a_round_plays_its_deeds_once(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, point: str
) -> None:
    """Closed: before its turn is admitted. Begun: before the next round is opened, by a turn that the
    kill has interrupted. Ended: before its failure is known. Again: before the turn that plays it again is
    admitted."""
    settings, gate = environment(model, journey_log, **QUIET), held_script(model)
    path = tmp_path / "store.db"
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(server, "olga", "mara", mode="rounds", round_seconds=0)
        with mara.follows(table) as stream:
            assert owner.acts(table, "one").status == 202
            collected = document(path, table)
            assert mara.acts(table, "two").status == 202
            stream.until("token")
            server.wait_for(lambda: document(path, table).get("before"))
            begun = document(path, table)
            kill(server)
    gate.set()
    before = begun["before"]
    closed = before | {"turn_id": None, "keys": collected["keys"]}
    again = begun | {"before": before | {"turn_id": None, "key": "another", "failed": 1}}
    with closing(sqlite3.connect(path)) as db:
        if point in ("closed", "again"):
            db.execute("DELETE FROM turns")
        shown = {"closed": closed, "begun": closed, "again": again}.get(point, begun)
        db.execute("UPDATE rounds SET document = ?, due = 0", (json.dumps(shown),))
        db.commit()
    with remote(tmp_path, settings) as server:
        owner = returned(owner, server)
        failed = 1 if point in ("begun", "ended") else 0
        rest = events_of(owner, table, turns=1 + failed)
        starts = [event for event in rest if event.get("phase") == "start"]
        assert [round_deeds(start) for start in starts] == [(1, ["one", "two"])]
        server.wait_for(lambda: collected_by(owner, table)["round"] == 2)
        assert collected_by(owner, table)["acted"] == []
        said = [row["content"] for row in owner.messages(table)]
        assert said.count(STORY) == 1
        assert said.count(AGAIN) == failed
    assert len(model.calls) == 2


def document(path: Path, table: int) -> dict[str, Any]:
    """The round as it is stored."""
    with closing(sqlite3.connect(path)) as db:
        (text,) = db.execute("SELECT document FROM rounds WHERE table_id = ?", (table,)).fetchone()
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


NO_END = """
    SELECT count(*) FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n);
END
"""
ENDLESS = (
    "CREATE TRIGGER endless BEFORE INSERT ON lines WHEN NEW.content LIKE '%{words}%' BEGIN" + NO_END
)
ENDLESS_CANCEL = (
    "CREATE TRIGGER endless BEFORE UPDATE ON turns WHEN NEW.phase = 'cancelling' BEGIN" + NO_END
)


def x_card(guest: Guest, table: int) -> Reply | None:
    """None: the server died meanwhile."""
    with suppress(OSError, HTTPException):
        return guest.call("POST", f"/{table}/x_card")
    return None


@pytest.mark.parametrize("phase", ["streaming", "approval"])
def test_kill_behind_the_line_of_an_x_card_leaves_no_turn_that_goes_on(
    tmp_path: Path,
    durable: dict[str, str],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    phase: str,
) -> None:
    gate = held_script(model) if phase == "streaming" else None
    model.default = script_of()
    character = journey_log.seed_character("mara")
    with remote(tmp_path, durable) as server:
        waits = 3_600 if phase == "approval" else 0
        table, (owner, mara) = party(server, "olga", "mara", approval_seconds=waits)
        mara.joins(table, character_id=character)
        with mara.follows(table) as stream:
            deed = aside(acted, mara, table, "one")
            stream.until(
                "metadata" if gate is None else "token", **({"phase": phase} if waits else {})
            )
            played = aside(x_card, owner, table)
            stream.until("message", content="Olga has played the X card. " + MOVES_ON)
            kill(server)
        deed.result(300)
        played.result(300)
    if gate is not None:
        gate.set()
    with remote(tmp_path, durable) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        ends = [one["type"] for one in ended(mara, table)]
        assert ends == ["cancelled"]
        refused(owner.call("POST", f"/{table}/approval"), 409, "not_awaiting_commit")
        assert journey_log.narratives(character) == []
        assert STORY not in [row["content"] for row in mara.messages(table)]
    assert len(model.calls) == 1


def ended(guest: Guest, table: int) -> list[dict[str, Any]]:
    """The ends of the turns of a table, of which there is one at least."""
    with guest.follows(table) as stream:
        while not (
            ends := [
                e for e in stream.seen.events if e["type"] in ("complete", "error", "cancelled")
            ]
        ):
            stream.frames(len(stream.seen.frames) + 1)
    return ends


def test_kill_before_the_turn_is_cancelled_leaves_no_line_of_the_x_card(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    """The turn is being cancelled when the server is killed. The card can be played again."""
    model.default, path = script_of(), tmp_path / "store.db"
    settings = environment(model, journey_log, **QUIET)
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(server, "olga", "mara", approval_seconds=3_600)
        with owner.follows(table) as stream:
            deed = aside(acted, mara, table, "one")
            stream.until("metadata", phase="approval")
        with closing(sqlite3.connect(path)) as db:
            db.execute(ENDLESS_CANCEL)
        played = aside(x_card, owner, table)
        wait_for_a_writer(path)
        kill(server)
        assert (deed.result(300), played.result(300)) == (None, None)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER endless")
    with remote(tmp_path, settings) as server:
        owner = returned(owner, server)
        server.wait_for(lambda: owner.call("GET", f"/{table}/approval").status == 200)
        assert "X card" not in str(owner.messages(table))
        assert owner.call("POST", f"/{table}/x_card").json() == {"stopped": True}
        assert "X card" in str(owner.messages(table))
        refused(owner.call("POST", f"/{table}/approval"), 409, "not_awaiting_commit")


def wait_for_a_writer(path: Path) -> None:
    """Until somebody is in a transaction that does not end."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        refusals = 0
        while refusals < 20:
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
                refusals = 0
            except sqlite3.OperationalError:
                refusals += 1
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("call", "body", "words", "made"),
    [
        ("pause", None, "The session is paused.", {"paused": True}),
        ("resume", None, "The session is resumed.", {"paused": False}),
        ("x_card", {"topic": "eels"}, "has played the X card.", {"lines": ["eels"]}),
    ],
)
def test_kill_before_a_change_is_announced_leaves_neither(
    tmp_path: Path,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    call: str,
    body: dict[str, str] | None,
    words: str,
    made: dict[str, Any],
) -> None:
    """The line is being added when the server is killed: there is no change that nobody is told of."""
    settings, path = environment(model, journey_log, **QUIET), tmp_path / "store.db"

    def change(guest: Guest) -> Reply | None:
        with suppress(OSError, HTTPException):
            return guest.call("POST", f"/{table}/{call}", body)
        return None

    def seen(guest: Guest) -> tuple[bool, int]:
        """Whether the change is made, and how often it was announced."""
        shown = guest.call("GET", f"/{table}").json()
        said = [row for row in guest.messages(table) if words in row["content"]]
        return made.items() <= shown.items(), len(said)

    with remote(tmp_path, settings) as server:
        table, (owner,) = party(server, "olga")
        if call == "resume":
            assert owner.call("POST", f"/{table}/pause").status == 200
        with closing(sqlite3.connect(path)) as db:
            db.execute(ENDLESS.format(words=words))
        asked = aside(change, owner)
        wait_for_a_writer(path)
        kill(server)
        assert asked.result(300) is None
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER endless")
    with remote(tmp_path, settings) as server:
        owner = returned(owner, server)
        assert seen(owner) == (False, 0)
        reply = change(owner)
        assert reply is not None
        assert reply.status == 200
        assert seen(owner) == (True, 1)


def test_kill_behind_a_refused_part_of_a_round_tells_its_player_once(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default, gate = script_of(), threading.Event()
    settings = environment(model, journey_log, **QUIET, **SETTLES)
    mine = journey_log.seed_character("mara")
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(server, "olga", "mara", mode="rounds", round_seconds=0)
        owner.joins(table, character_id="6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a99")
        mara.joins(table, character_id=mine)
        journey_log.fail("narrative", None, late(gate, hold="answer"))
        with mara.follows(table) as stream:
            both_act(table, owner, mara)
            assert stream.until("write")["success"] is False
            journey_log.wait_for(lambda: journey_log.narratives(mine))
            kill(server)
    gate.set()
    with remote(tmp_path, settings) as server:
        owner, mara = returned(owner, server), returned(mara, server)
        events_of(owner, table, turns=1)
        assert journey_log.narratives(mine) == [STORY]
        for guest, notices in ((owner, 1), (mara, 0)):
            said = [row["content"] for row in guest.messages(table)]
            assert len([words for words in said if "your character's journey" in words]) == notices
            assert said.count(STORY) == 1


@pytest.mark.parametrize("what", ["question", "summary"])
def test_kill_while_something_beside_turns_is_generated_charges_what_was_set_aside(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, what: str
) -> None:
    model.default, gate = script_of(), threading.Event()
    settings = environment(model, journey_log, **QUIET)
    with remote(tmp_path, settings) as server:
        table, (owner,) = party(server, "olga", token_budget=1_000_000)
        held = Script("Nobody.", gate=gate)
        if what == "summary":
            for number in range(WINDOW + BEHIND):
                said = {"sender_name": "Olga", "content": f"word {number}."}
                assert owner.call("POST", f"/{table}/messages", said).status == 200
            model.then(model.default, held)
            assert owner.acts(table).status == 200
        used = owner.call("GET", f"/{table}/tokens").json()["used"]
        calls = len(model.calls) if what == "question" else 1
        if what == "question":
            model.then(held)
            asked = aside(suppressed, owner.asks, table)
        server.wait_for(lambda: len(model.calls) > calls)
        assert owner.call("GET", f"/{table}/tokens").json()["used"] == used
        kill(server)
        if what == "question":
            asked.result(300)
    gate.set()
    with remote(tmp_path, settings) as server:
        owner = returned(owner, server)
        shown = owner.call("GET", f"/{table}/tokens").json()["used"]
        assert shown == used + RESERVED


def suppressed(call: Callable[..., Reply], *args: Any) -> None:
    """The server dies meanwhile."""
    with suppress(OSError, HTTPException):
        call(*args)
