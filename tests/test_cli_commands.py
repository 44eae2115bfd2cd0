"""Commands beside a running server, and what becomes of them in a pipe."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple
from urllib.request import urlopen

import pytest
from app.cli.arguments import parser
from app.cli.main import BROKEN_PIPE, main

from fakes.hub import FakeHub
from fakes.model import FakeModel, Script
from processes import (
    ROOT,
    TIMEOUT,
    Forked,
    FreshProcess,
    Process,
    UnreadProcess,
    environment_of,
)
from serving import Served
from waiting import eventually

CHARACTER = {"name": "Maren", "race": "Human", "class_name": "Ranger"}
COMMANDS = [
    [],
    ["serve"],
    ["doctor"],
    ["turn"],
    ["play"],
    ["watch"],
    ["openapi"],
    ["turns"],
    ["turns", "show"],
    ["turns", "settle"],
    ["hub"],
    ["hub", "retry"],
    ["hub", "drop"],
    ["replay"],
    ["export"],
    ["import"],
    ["forget"],
    ["migrate"],
    ["bench"],
    ["hub", "list"],
]


class Played(NamedTuple):
    store: Path
    url: str
    character: str
    turn: str


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A running server with one complete turn and one that an error ended."""
    path = tmp_path_factory.mktemp("home") / "store.db"
    with FakeModel() as model:
        served = Served(store_url=f"sqlite:///{path}", openai_base_url=model.base_url)
        try:
            made = served.call("POST", "/characters", CHARACTER)
            model.then(*[Script(text="no outcome at all")] * 2)
            turn = {"character_id": made.json()["character_id"], "user_action": "I look."}
            assert served.call("POST", "/turn", turn).status == 502
            assert model.unused == 0
            yield Played(path, served.url, turn["character_id"], made.header("x-turn-id") or "")
        finally:
            served.close()


@pytest.fixture(scope="module")
def store(played: Played) -> Path:
    return played.store


def run(store: Path, *arguments: str, capsys: pytest.CaptureFixture[str], expected: int = 0) -> str:
    assert main(list(arguments)) == expected
    return capsys.readouterr().out


@pytest.fixture
def _store_set(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE_URL", f"sqlite:///{store}")


@pytest.mark.usefixtures("_store_set")
def test_complete_turns_are_listed_where_asked_for_and_can_be_replayed(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "complete" not in run(store, "turns", capsys=capsys)
    complete = ["turns", "--which", "complete", "--user", "local", "--since", "7d"]
    assert run(store, *complete, "--character", "none", capsys=capsys) == "complete: 0\n"
    head, line = run(store, *complete, capsys=capsys).splitlines()
    assert head == "complete: 1"
    assert "complete/done" in line
    replayed = run(store, "replay", line.split()[0], capsys=capsys)
    assert "are the same" in replayed


@pytest.mark.usefixtures("_store_set")
def test_a_failed_turn_is_listed_with_the_type_of_its_error(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(store, "turns", "--which", "failed", capsys=capsys)
        .strip()
        .endswith("llm_response_error")
    )
    shown = json.loads(run(store, "turns", "--json", capsys=capsys))
    assert [turn["error_type"] for turn in shown["failed"]] == ["llm_response_error"]


@pytest.mark.parametrize("since", ["", "2", "h", "-1h", "2w", "1.5h"])
def test_a_time_that_is_none_is_explained(capsys: pytest.CaptureFixture[str], since: str) -> None:
    with pytest.raises(SystemExit):
        main(["turns", f"--since={since}"])
    assert "a number and a unit, as in 90s, 30m, 2h or 7d" in capsys.readouterr().err


@pytest.mark.usefixtures("_store_set")
@pytest.mark.parametrize("limit", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_none_is_explained(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    with pytest.raises(SystemExit):
        main(["turns", f"--limit={limit}"])
    assert "must be a whole number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no database" * 500, None])
def test_a_file_that_is_no_database_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
) -> None:
    path = tmp_path / "store.db"
    path.mkdir() if content is None else path.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE_URL", f"sqlite:///{path}")
    assert main(["turns"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("dungeon-master: STORE_URL: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_has_a_description_and_an_example(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "example:\n  " in text
    assert f"dungeon-master {' '.join(command)}".strip() in text.partition("example:")[2]
    usage, description, *_ = text.split("\n\n")
    assert usage.startswith("usage: dungeon-master")
    assert description[0].isupper()


# -- pipes ----------------------------------------------------------------------------------------


def piped(store: Path, line: str, *, bytes_read: int, errors_too: bool) -> tuple[int, str]:
    """The exit code of a command whose reader reads that much and closes the pipe, and what the command
    says on standard error where that is no part of the pipe."""
    reader, writer = os.pipe()
    environment = environment_of({"STORE_URL": f"sqlite:///{store}", "PORT": "0"})
    with open(reader, "rb", buffering=0) as output, TemporaryFile("w+") as errors:
        if not bytes_read:
            output.close()
        into = writer if errors_too else errors.fileno()
        command = Forked(store.parent, line.split(), environment, writer, into)
        os.close(writer)
        if bytes_read:
            assert len(output.read(bytes_read)) == bytes_read
            output.close()
        code = command.wait(TIMEOUT)
        errors.seek(0)
        return code, errors.read()


PIPED = {
    "doctor": "doctor",
    "turn": "turn $REMOTE hello",
    "play": "play $REMOTE",
    "watch": "watch $REMOTE $TURN",
    "bench": "bench $REMOTE --players 1 --turns 1",
    "openapi": "openapi",
    "turns": "turns --json --which complete",
    "turns show": "turns show $TURN",
    "turns settle": "turns settle $TURN landed",
    "hub list": "hub list",
    "hub retry": "hub retry none",
    "hub drop": "hub drop none",
    "migrate": "migrate sqlite-to-postgres none.db",
    "export": "export $CHARACTER -",
    "import": "import none.json",
    "forget": "forget nobody --yes",
    "replay": "replay $TURN",
}
"""Every command that ends by itself."""


def leaves(command: argparse.ArgumentParser, name: str = "") -> Iterator[str]:
    """Commands with something to do, their actions too."""
    actions = [a for a in command._actions if isinstance(a, argparse._SubParsersAction)]
    if not actions or not actions[0].required:
        yield name
    for action in actions:
        for inner, below in action.choices.items():
            yield from leaves(below, f"{name} {inner}".strip())


def test_every_command_is_tried_in_a_pipe() -> None:
    assert {*leaves(parser())} == {*PIPED, "serve"}


@pytest.mark.parametrize(
    ("line", "bytes_read"),
    [(line, 0) for line in PIPED.values()]
    + [(line, 3) for line in ("turns", "turns --help", "--version", "turns show $TURN")],
)
def test_a_pipe_that_ends_early_is_no_traceback(played: Played, line: str, bytes_read: int) -> None:
    said_by = {"$REMOTE": f"--url {played.url}", "$TURN": played.turn}
    for word, meant in (said_by | {"$CHARACTER": played.character}).items():
        line = line.replace(word, meant)
    code, said = piped(played.store, line, bytes_read=bytes_read, errors_too=False)
    assert "Traceback" not in said
    assert all(one.startswith("dungeon-master: ") for one in said.splitlines())
    assert code in (0, 1, 2, BROKEN_PIPE)


@pytest.mark.parametrize("line", ["dance", "replay nothing", "serve"])
def test_a_complaint_that_nobody_reads_ends_the_command(store: Path, line: str) -> None:
    code, _ = piped(store, line, bytes_read=0, errors_too=True)
    assert code in (1, 2, BROKEN_PIPE)


def shell(store: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of the shell in which $DM is the command."""
    command = f"{sys.executable} -m app.cli"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=store.parent,
        env=environment_of({"DM": command, "STORE_URL": f"sqlite:///{store}"}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("line", ["$DM turns >&-", "$DM turns --json 2>&-"])
def test_a_stream_that_is_closed_is_no_traceback(store: Path, line: str) -> None:
    done = shell(store, line)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "" or "complete" not in json.loads(done.stdout)


def test_server_whose_log_nobody_reads_goes_on(tmp_path: Path) -> None:
    process = UnreadProcess(tmp_path, "serve", PORT="0")
    try:
        port = process.port()
        for _ in range(3):
            with urlopen(f"http://127.0.0.1:{port}/live", timeout=300) as answer:
                assert answer.status == 200
        assert process.stop() == 0
    finally:
        process.kill()


def test_a_full_disk_is_one_line(store: Path) -> None:
    environment = environment_of({"STORE_URL": f"sqlite:///{store}"})
    with open("/dev/full", "wb") as full, TemporaryFile("w+") as errors:
        listed = Forked(store.parent, ["turns"], environment, full.fileno(), errors.fileno())
        assert listed.wait(TIMEOUT) == 1
        errors.seek(0)
        assert errors.read() == "dungeon-master: cannot write: No space left on device\n"


def test_an_interrupted_command_is_no_traceback(tmp_path: Path) -> None:
    """The store is a pipe that nobody writes to, so the command waits."""
    os.mkfifo(tmp_path / "moderation")
    process = Process(
        tmp_path,
        "serve",
        PORT="0",
        MODERATION="words",
        MODERATION_WORDS_FILE=str(tmp_path / "moderation"),
    )
    with open(tmp_path / "moderation", "w", encoding="utf-8"):  # opens once it is being read
        process.signal(signal.SIGINT)
        assert process.exit_code() == 130
    assert process.text == ""


def test_interrupt_while_modules_are_read_is_no_traceback(tmp_path: Path) -> None:
    """A module of the service's is a pipe here, so reading it waits."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "structlog.py").write_text(f"open({str(pipe)!r}).read()")
    process = FreshProcess(tmp_path, "serve", PYTHONPATH=f"{tmp_path}:{ROOT}")
    with open(pipe, "w", encoding="utf-8"):
        process.signal(signal.SIGINT)
        assert process.exit_code() == 130
    assert process.text == ""


def test_installed_command_is_the_one_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"dungeon-master": "app.cli.__main__:main"}


def test_events_that_were_given_up_are_listed_retried_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    monkeypatch.setenv("STORE_URL", f"sqlite:///{path}")
    with FakeModel() as model, FakeHub() as hub:
        hub.answers.extend([400] * 10)
        served = Served(
            store_url=f"sqlite:///{path}",
            openai_base_url=model.base_url,
            message_hub_url=hub.url,
            clock=Hasty(),
        )
        try:
            served.call("POST", "/characters", CHARACTER)
            eventually(lambda: run(path, "hub", "list", capsys=capsys).startswith("dead: 1\n"), 300)
            shown = json.loads(run(path, "hub", "list", "--json", capsys=capsys))
            (dead,) = shown["dead"]
            assert (dead["reason"], dead["refusals"]) == ("status 400", 10)
            assert hub.taken == []
            done = run(path, "hub", "retry", dead["id"], capsys=capsys)
            assert done == "1 event will be delivered where a server runs\n"
            eventually(lambda: hub.ids == [dead["id"]], 300)
            eventually(
                lambda: run(path, "hub", "list", capsys=capsys) == "dead: 0\nwaiting: 0\n", 300
            )
        finally:
            served.close()
    assert run(path, "hub", "drop", "none", capsys=capsys, expected=1) == "0 events dropped\n"
    assert run(path, "hub", "drop", "--dead", capsys=capsys) == "0 events dropped\n"
    assert main(["hub", "retry"]) == 2


class Hasty:
    """A clock by which a minute passes between two looks at it."""

    def __init__(self) -> None:
        self._passed = 0.0

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        self._passed += 60
        return time.time() + self._passed
