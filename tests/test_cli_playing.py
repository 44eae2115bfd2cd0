"""Turns and whole games from a terminal, on a running server."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from app.cli import benching
from app.cli.main import main

from fakes.model import FakeModel, Script, outcome_text
from processes import ROOT, TIMEOUT, Forked, at_a_terminal, environment_of
from serving import Served


@pytest.fixture(scope="module")
def model() -> Iterator[FakeModel]:
    with FakeModel() as server:
        yield server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model: FakeModel) -> Iterator[Served]:
    store = f"sqlite:///{tmp_path_factory.mktemp('cli')}/store.db"
    settings = {"openai_base_url": model.base_url, "max_turns_per_character_per_second": 100}
    with Served(store_url=store, **settings) as service:
        yield service


def stories(served: Served, user: str) -> list[str]:
    """What the user's only character has lived through, oldest first."""
    (character,) = served.call("GET", "/characters", X_User_Id=user).json()["characters"]
    path = f"/characters/{character['character_id']}/turns?limit=100"
    turns = served.call("GET", path, X_User_Id=user).json()["turns"]
    return [turn["narrative"] for turn in reversed(turns)]


def test_turn_prints_the_story_and_refusals_in_one_line(
    served: Served, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = ["--url", served.url, "--user", "ann"]
    assert main(["turn", "I knock.", *remote]) == 0
    assert capsys.readouterr().out == "\n\n".join(stories(served, "ann")) + "\n"
    model.then(*[Script(text="no outcome at all")] * 2)
    assert main(["turn", "I wait.", *remote]) == 1
    assert "not a valid outcome" in capsys.readouterr().err
    (character,) = served.call("GET", "/characters", X_User_Id="ann").json()["characters"]
    other = ["--character", character["character_id"], "--url", served.url, "--user", "otto"]
    assert main(["turn", "I wait.", *other]) == 1
    assert "403 forbidden" in capsys.readouterr().err


def test_turn_as_json_is_its_events_and_watch_reads_them_again(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = ["--json", "--url", served.url, "--user", "bea"]
    assert main(["turn", "I knock.", *remote]) == 0
    lines = capsys.readouterr().out.splitlines()
    events = [json.loads(line) for line in lines]
    assert [events[0]["phase"], events[-1]["type"]] == ["start", "complete"]
    turn_id = events[-1]["turn_id"]
    assert main(["watch", turn_id, *remote]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert main(["watch", "nothing", *remote]) == 1
    assert "422 validation_error" in capsys.readouterr().err


def test_each_line_of_a_pipe_is_an_action(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "Otto Reed, human, bard\nI knock.\n\n/story\n/dance\nI wait.\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert main(["play", "--url", served.url, "--user", "cid"]) == 0
    opening, first, second = stories(served, "cid")
    printed = capsys.readouterr().out
    assert printed == "".join(f"{text}\n\n" for text in (opening, first, opening, first, second))


def test_server_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, and never listened on
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert main(["play", "--url", url]) == 1
    assert capsys.readouterr().err.count("\n") == 1


class Terminal:
    """A game in a pseudo-terminal, as a player has it."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        given = environment_of({"TERM": "xterm"})
        self.process = Forked(ROOT, arguments, given, slave, slave, at_a_terminal)
        os.close(slave)
        self._seen = ""
        self._changed = threading.Condition()
        threading.Thread(target=self._read, name="terminal", daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 4096)
            except OSError:  # the other end is closed
                return
            with self._changed:
                self._seen += data.decode("utf-8", "replace").replace("\r\n", "\n")
                self._changed.notify_all()

    def wait(self, text: str) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: text in self._seen, TIMEOUT)
        assert found, self._seen

    def write(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    opened = Terminal(*arguments)
    try:
        yield opened
    finally:
        opened.close()


def test_game_in_a_terminal_is_stopped_by_ctrl_c_and_left_by_ctrl_d(
    served: Served, model: FakeModel
) -> None:
    with terminal("play", "--url", served.url, "--user", "dan") as game:
        game.wait("Name, race, class")
        game.write("\n")
        game.wait("> ")
        held = threading.Event()
        model.then(Script(text=outcome_text("The door is cold."), gate=held, gate_after=8))
        game.write("I knock.\n")
        game.wait("The door")
        os.kill(game.process.pid, signal.SIGINT)
        game.wait("(stopped; nothing of it counts)")
        held.set()
        model.then(Script(text=outcome_text("The hall is warm.")))
        game.write("I wait.\n")
        game.wait("The hall is warm.")
        game.write("/quit\n")
        assert game.process.wait(TIMEOUT) == 0


def test_game_asks_for_a_commit_where_the_option_says_so(served: Served, model: FakeModel) -> None:
    with terminal("play", "--url", served.url, "--user", "eve") as game:
        game.wait("Name, race, class")
        game.write("\n")
        game.wait("> ")
        game.write("/choose\n")
        game.wait("asked before a turn counts")
        model.then(Script(text=outcome_text("The door is cold.")))
        game.write("I knock.\n")
        game.wait("Enter keeps it")
        model.then(Script(text=outcome_text("The door is warm.")))
        game.write("warmer\n")
        game.wait("retold")
        game.wait("The door is warm.")
        game.wait("? ")
        game.write("\n")
        served.wait_for(lambda: stories(served, "eve")[-1:] == ["The door is warm."])
        game.write("/quit\n")
        assert game.process.wait(TIMEOUT) == 0
    assert "warmer" in model.requests[-1].body.decode()


def test_description_of_the_api_needs_no_server(
    served: Served,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, path in ([], "/openapi.json"), (["--async"], "/asyncapi.json"):
        assert main(["openapi", *arguments]) == 0
        assert json.loads(capsys.readouterr().out) == served.call("GET", path).json()
    assert list(tmp_path.iterdir()) == []


def test_bench_measures_turns_and_counts_failures(
    served: Served, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["bench", "--url", served.url, "--players", "2", "--turns", "2", "--every", "0s"]
    assert main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["turns"] == {"complete": 4}
    for name in ("first_token_ms", "gap_ms", "turn_ms"):
        assert 0 <= found[name]["p50"] <= found[name]["p99"] <= found[name]["max"]
    model.then(*[Script()] * 2, *[Script(text="no outcome at all")] * 8)
    assert main(line) == 1
    assert model.unused == 0
    assert capsys.readouterr().out.startswith("4 llm_response_error in ")


def test_figures_of_a_bench_are_rates_and_quantiles() -> None:
    turns = [
        benching.Turn(0.1, [0.02, 0.04], 1.0, "complete"),
        benching.Turn(0.3, [], 3.0, "complete"),
        benching.Turn(None, [], 0.1, "overloaded"),
    ]
    found = benching.figures(turns, 2.0)
    assert found["turns"] == {"complete": 2, "overloaded": 1}
    assert (found["turns_per_second"], found["tokens_per_second"]) == (1.5, 2.0)
    assert found["first_token_ms"] == {"p50": 300.0, "p95": 300.0, "p99": 300.0, "max": 300.0}
    assert found["gap_ms"]["p50"] == 40.0
    assert benching.shown(found).startswith("2 complete, 1 overloaded in 2.0 s\n1.5 turns and")
