"""`dungeon-master serve` as a real process."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from app import __version__
from app.cli import main

from processes import Process, running

WHO = {"name": "Maren", "race": "Human", "class_name": "Ranger"}
QUICK = {"STORYTELLER_TOKENS_PER_SECOND": "0", "RNG_SEED": "x"}


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read()


def ask(port: int, method: str, path: str, body: Any = None) -> Any:
    status, answer = call(port, method, path, body)
    assert status < 300, answer
    return json.loads(answer)


# -- a first run ----------------------------------------------------------------------------------


def test_a_story_is_played_with_nothing_configured_and_kept_across_a_restart(
    tmp_path: Path,
) -> None:
    with running(tmp_path, **QUICK) as process:
        port = process.port()
        made = ask(port, "POST", "/characters", WHO)
        character = made["character_id"]
        turn = {"character_id": character, "user_action": "I look around."}
        told = ask(port, "POST", "/turn", turn)
        assert told["subsystem_summary"]["narrative_persisted"] is True
        assert process.stop() == 0
    with running(tmp_path, **QUICK) as process:
        port = process.port()
        shown = ask(port, "GET", f"/characters/{character}")
        past = [turn["gm_response"] for turn in shown["context"]["narrative"]["recent_turns"]]
        assert past == [made["narrative"], told["narrative"]]
        assert shown["turns"] == 2
        assert ask(port, "GET", f"/turns/{told['turn_id']}")["narrative"] == told["narrative"]
        assert ask(port, "POST", "/turn", turn)["narrative"]


def test_a_stream_is_replayed_after_a_restart_byte_for_byte(tmp_path: Path) -> None:
    with running(tmp_path, **QUICK) as process:
        port = process.port()
        character = ask(port, "POST", "/characters", WHO)["character_id"]
        turn = {"character_id": character, "user_action": "I look around."}
        _, live = call(port, "POST", "/turn/stream", turn)
        process.stop()
    turn_id = live.partition(b"id: ")[2].partition(b":")[0].decode()
    with running(tmp_path, **QUICK) as process:
        _, replayed = call(process.port(), "GET", f"/turns/{turn_id}/events")
    assert replayed == live


def test_the_start_and_health_say_who_tells_and_where_it_is_kept(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        port = process.port()
        health = ask(port, "GET", "/health")
        assert (health["model"], health["journey_log"]) == ("offline storyteller", "embedded")
        assert "offline storyteller" in process.text
        assert call(port, "GET", "/")[0] == 200
        assert ask(port, "GET", "/journey-log/health")["status"] == "healthy"
    assert {path.suffix for path in (tmp_path / "data").iterdir()} >= {".db"}


def test_the_embedded_journey_log_is_not_mounted_on_an_open_host(tmp_path: Path) -> None:
    with running(tmp_path, HOST="0.0.0.0", ALLOW_ANONYMOUS="true") as process:
        port = process.port()
        assert call(port, "GET", "/live")[0] == 200
        assert call(port, "GET", "/journey-log/health")[0] == 404


# -- refusing to start ----------------------------------------------------------------------------


def test_a_second_server_on_the_same_store_does_not_start(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        port = first.port()
        second = Process(tmp_path, "serve", PORT="0")
        assert second.exit_code() == 2
        assert len(second.log) == 1
        assert second.log[0].startswith("dungeon-master: STORE_URL: ")
        assert call(port, "GET", "/live")[0] == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "hunter2"),
        ("QUEST_TRIGGER_PROB", "2"),
        ("OPENAI_BASE_URL", "hunter2"),
        ("HOST", "0.0.0.0"),
        ("STORE_URL", "sqlite:////proc/hunter2/store.db"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(tmp_path: Path, name: str, value: str) -> None:
    process = Process(tmp_path, "serve", **{"PORT": "0", name: value})
    assert process.exit_code() == 2
    assert len(process.log) == 1, process.text
    assert process.log[0].startswith(f"dungeon-master: {name}: ")
    if name != "STORE_URL":  # an address in the file system is no secret, and is needed
        assert value not in process.text


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with running(tmp_path / "one") as first:
        second = Process(tmp_path / "two", "serve", PORT=str(first.port()))
        assert second.exit_code() != 0
        assert "address already in use" in second.text


# -- the command line -----------------------------------------------------------------------------


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("arguments", [[], ["dance"], ["serve", "--fast"]])
def test_a_command_that_is_none_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: dungeon-master" in capsys.readouterr().err
