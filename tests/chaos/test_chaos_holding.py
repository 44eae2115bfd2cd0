"""A process that is killed while a turn awaits its commit, is retold, or is committed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog, late
from fakes.model import (
    COMBAT_START,
    NARRATIVE,
    POI_CREATE,
    QUEST_OFFER,
    FakeModel,
    Script,
    outcome_text,
)
from remote import Remote, environment, remote
from serving import Live, Stream, seq_of
from tabling import RESPONSE, party, script_of

EVENTFUL: dict[str, Any] = {"quest": QUEST_OFFER, "combat": COMBAT_START, "poi": POI_CREATE}
AGAIN = "The bell is silent, and nobody counts."
ALL = ["quest", "combat", "poi", "narrative"]
STORES: dict[str, Callable[[], str]] = {
    "sqlite": lambda: "sqlite:///store.db",
    "postgres": lambda: SERVERS.postgres.emptied(),
}


def kill(server: Remote) -> None:
    server.process.signal(signal.SIGKILL)
    assert server.process.exit_code() == -signal.SIGKILL


def choose(server: Remote, turn_id: str, choice: str) -> None:
    assert server.call("POST", f"/turns/{turn_id}/{choice}").status == 202


def folded(frames: list[dict[str, Any]]) -> str:
    """The narrative as a reader has it behind these events."""
    shown: list[str] = []
    for event in frames:
        if event.get("phase") == "retelling":
            shown = []
        elif event["type"] == "token":
            shown.append(event["content"])
    return "".join(shown)


@contextmanager
def awaiting(server: Remote, character: str) -> Iterator[Live]:
    with server.live(character, commit="manual") as live:
        live.until("metadata", phase="awaiting_commit")
        yield live


@pytest.fixture(params=list(STORES))
def settings(
    request: pytest.FixtureRequest, model: FakeModel, journey_log: FakeJourneyLog
) -> dict[str, str]:
    model.default = Script(outcome_text(**EVENTFUL), token_chars=40)
    return environment(model, journey_log, STORE_URL=STORES[request.param]())


def last_id(seen: Stream) -> str:
    return f"{seen.turn_id}:{seq_of(seen.frames[-1])}"


def test_a_turn_awaits_its_commit_after_a_kill(
    tmp_path: Path, settings: dict[str, str], journey_log: FakeJourneyLog, character: str
) -> None:
    with remote(tmp_path, settings) as server, awaiting(server, character) as live:
        kill(server)
        seen = live.seen
    with remote(tmp_path, settings) as server:
        with server.events(seen.turn_id, last_event_id=last_id(seen)) as live:
            choose(server, seen.turn_id, "commit")
            rest = live.rest()
        assert rest.last["type"] == "complete"
        whole = server.stream("GET", f"/turns/{seen.turn_id}/events")
        assert whole.frames == [*seen.frames, *rest.frames]
    assert journey_log.kinds(character) == ALL


def test_killed_retelling_leaves_the_earlier_outcome_and_can_be_repeated(
    tmp_path: Path,
    settings: dict[str, str],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
) -> None:
    gate = threading.Event()
    with remote(tmp_path, settings) as server, awaiting(server, character) as live:
        model.then(Script(outcome_text(AGAIN, **EVENTFUL), gate=gate, gate_after=4, token_chars=8))
        choose(server, live.turn_id, "retell")
        live.until("metadata", phase="retelling")
        live.until("token")
        kill(server)
        seen = live.seen
    gate.set()
    with (
        remote(tmp_path, settings) as server,
        server.events(seen.turn_id, last_event_id=last_id(seen)) as live,
    ):
        live.until("metadata", phase="awaiting_commit")
        back = live.seen
        assert back.of("metadata")[0]["error_type"] == "interrupted"
        assert folded([*seen.events, *back.events]) == NARRATIVE
        model.then(Script(outcome_text(AGAIN, **EVENTFUL)))
        choose(server, seen.turn_id, "retell")
        live.until("metadata", phase="awaiting_commit")
        choose(server, seen.turn_id, "commit")
        rest = live.rest()
        assert rest.last["type"] == "complete"
        assert folded([*seen.events, *rest.events]) == AGAIN
        late = server.stream("GET", f"/turns/{seen.turn_id}/events")
        assert folded(late.events) == AGAIN
        assert late.frames[-len(rest.frames) :] == rest.frames
    assert journey_log.kinds(character) == ALL
    assert journey_log.narratives(character) == [AGAIN]


def test_a_commit_that_is_killed_is_carried_out_once(
    tmp_path: Path,
    settings: dict[str, str],
    journey_log: FakeJourneyLog,
    character: str,
) -> None:
    gate = threading.Event()
    journey_log.fail("combat", late(gate))
    with remote(tmp_path, settings) as server, awaiting(server, character) as live:
        choose(server, live.turn_id, "commit")
        kill(server)  # before, in the middle of, or behind a write
        seen = live.seen
    gate.set()
    with remote(tmp_path, settings) as server:
        choose(server, seen.turn_id, "commit")
        rest = server.stream("GET", f"/turns/{seen.turn_id}/events", last_event_id=last_id(seen))
        assert rest.last["type"] == "complete"
        whole = server.stream("GET", f"/turns/{seen.turn_id}/events")
        assert whole.frames == [*seen.frames, *rest.frames]
        assert server.turn(character, "I go on.").last["type"] == "complete"
    assert journey_log.kinds(character)[:4] == ALL
    assert journey_log.narratives(character)[0] == NARRATIVE


def test_readers_of_a_table_miss_no_line_of_a_killed_retelling(
    tmp_path: Path, settings: dict[str, str], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default = script_of()
    gate = threading.Event()
    character = journey_log.seed_character("olga")
    with remote(tmp_path, settings) as server:
        table, (owner, mara) = party(
            server, "olga", "mara", commit="manual", character_id=character
        )
        with owner.follows(table) as ahead, mara.follows(table) as behind:
            assert owner.acts(table).status == 202
            ahead.until("metadata", phase="awaiting_commit")
            script = script_of(narrative=AGAIN)
            model.then(replace(script, gate=gate, gate_after=6, token_chars=8))
            assert mara.call("POST", f"/{table}/retell").status == 202
            ahead.until("metadata", phase="retelling")
            ahead.until("token")
            behind.until("token")
            kill(server)
            seen = [(owner, ahead.seen), (mara, behind.seen)]
    gate.set()
    stories = []
    with remote(tmp_path, settings) as server:
        model.then(script_of(narrative=AGAIN))
        for guest, before in seen:
            guest.service = server
            name = before.frames[-1].split(b"\n", 1)[0].removeprefix(b"id: ").decode()
            with guest.follows(table, last_event_id=name) as live:
                if guest is owner:
                    live.until("metadata", error_type="interrupted")
                    live.until("metadata", phase="awaiting_commit")
                    assert guest.call("POST", f"/{table}/retell").status == 202
                    live.until("metadata", phase="awaiting_commit")
                    assert guest.call("POST", f"/{table}/commit").status == 202
                live.until("complete")
                stories.append(folded([*before.events, *live.seen.events]))
        assert [one["content"] for one in owner.messages(table)].count(
            f"{AGAIN}\n\n{RESPONSE}"
        ) == 1
    assert stories == [AGAIN + RESPONSE] * 2
    assert journey_log.narratives(character) == [f"{AGAIN}\n\n{RESPONSE}"]


def test_a_cancel_after_a_kill_leaves_no_trace(
    tmp_path: Path, settings: dict[str, str], journey_log: FakeJourneyLog, character: str
) -> None:
    with remote(tmp_path, settings) as server, awaiting(server, character) as live:
        kill(server)
        turn_id = live.turn_id
    with remote(tmp_path, settings) as server:
        assert server.cancel(turn_id).status == 202
        whole = server.stream("GET", f"/turns/{turn_id}/events")
        assert whole.last["type"] == "cancelled"
    assert journey_log.kinds(character) == []
