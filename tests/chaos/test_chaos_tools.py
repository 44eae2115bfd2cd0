"""The command line beside a running server, and the replay of stored turns."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from app.cli.main import main

from fakes.journey_log import FakeJourneyLog, answers, drops, hangs
from fakes.model import COMBAT_START, POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome_text
from remote import environment, remote
from serving import Served

FULL = outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE)
QUICK = {"JOURNEY_LOG_TIMEOUT": "1", "JOURNEY_LOG_SETTLE_SECONDS": "1.5"}


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Runs a command on the store in this directory: (exit code, what it printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE_URL", "sqlite:///store.db")

    def run(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


# -- settling by hand -----------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["landed", "failed"])
def test_a_write_settled_by_hand_lets_the_running_server_go_on(
    tmp_path: Path,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    command: Any,
    fate: str,
) -> None:
    model.default = Script(FULL)
    journey_log.fail("poi", hangs())
    journey_log.always("pois_get", answers(503))
    with remote(tmp_path, environment(model, journey_log, **QUICK)) as server:
        with server.live(character) as live:
            live.until("metadata", phase="settling")
            turn_id = live.turn_id
            _, listed = command("turns", "--json", "--which", "open")
            assert [turn["turn_id"] for turn in json.loads(listed)["open"]] == [turn_id]
            _, shown = command("turns", "show", turn_id)
            states = {w["subsystem"]: w["state"] for w in json.loads(shown)["writes"]}
            assert states == {
                "quest": "settled",
                "combat": "settled",
                "poi": "under way",
                "narrative": "waiting",
            }
            assert command("turns", "settle", turn_id, fate)[0] == 0
            seen = live.rest()
        assert seen.last["type"] == "metadata"  # broken off: its reader has to come back
        whole = server.stream("GET", f"/turns/{turn_id}/events")
    assert whole.frames[: len(seen.frames)] == seen.frames
    summary = whole.last["subsystem_summary"]
    assert summary["poi_change"]["success"] is (fate == "landed")
    assert summary["narrative_persisted"] is True
    assert journey_log.kinds(character) == ["quest", "combat", "narrative"]
    assert command("turns", "settle", turn_id, fate)[0] == 1


# -- replay ---------------------------------------------------------------------------------------


def tales(service: Served, model: FakeModel, journey_log: FakeJourneyLog) -> dict[str, str]:
    """One turn of every kind that can be replayed; its id by what it is."""
    character = journey_log.seed_character()
    model.default = Script(FULL, token_chars=30)
    journey_log.fail("narrative", None, drops(commit=True), None, None)
    journey_log.fail("combat", None, answers(422))
    found = {"all writes": service.turn(character).turn_id}
    ending = outcome_text(quest={"action": "complete"}, combat={"action": "end"})
    model.then(Script(ending))
    found["refused, answer lost"] = service.turn(character).turn_id
    found["rehearsed"] = service.turn(character, dry_run=True).turn_id
    model.then(Script('{"narrative": "Half a tale", "intents": {"quest_intent": 7}}'))
    found["invalid"] = service.turn(character).turn_id
    model.then(Script(FULL, reset_after=0))
    found["without streaming"] = service.turn(character).turn_id
    return found


def test_replay_of_every_kind_of_turn_gives_the_same_events(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, command: Any
) -> None:
    with remote(tmp_path, environment(model, journey_log, **QUICK)) as server:
        found = tales(server, model, journey_log)
        answers = {kind: command("replay", turn_id) for kind, turn_id in found.items()}
    assert {kind: code for kind, (code, _) in answers.items()} == dict.fromkeys(found, 0), answers
    assert "are the same" in answers["all writes"][1]


@pytest.mark.parametrize(
    ("was", "becomes"), [("torch", "candle"), ("The Humming Vault", "The Silent Vault")]
)
def test_replay_of_a_changed_recording_differs(
    tmp_path: Path,
    model: FakeModel,
    service: Served,
    character: str,
    command: Any,
    was: str,
    becomes: str,
) -> None:
    model.default = Script(FULL, per_write=0, token_chars=1000)
    turn_id = service.turn(character).turn_id
    service.close()
    tamper(tmp_path / "store.db", turn_id, was, becomes)
    code, output = command("replay", turn_id)
    assert (code, "differ" in output) == (1, True)


def tamper(store: Path, turn_id: str, was: str, becomes: str) -> None:
    """Changes what the model is recorded to have said."""
    with closing(sqlite3.connect(store)) as db, db:
        (packed,) = db.execute(
            "SELECT recording FROM turns WHERE turn_id = ?", (turn_id,)
        ).fetchone()
        recording = json.loads(zlib.decompress(packed))
        said = "".join(delta for read in recording["reads"] for delta in read)
        assert was in said
        recording["reads"] = [[said.replace(was, becomes)]]
        packed = zlib.compress(json.dumps(recording).encode())
        db.execute("UPDATE turns SET recording = ? WHERE turn_id = ?", (packed, turn_id))
