"""`dungeon-master serve` as a real process."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from app import __version__
from app.cli.main import main
from app.cli.server import Server
from structlog.contextvars import bound_contextvars, get_contextvars
from websockets.exceptions import InvalidStatus

from loops import in_loop
from processes import Process, running
from serving import dialled

WHO = {"name": "Maren", "race": "Human", "class_name": "Ranger"}
QUICK = {"STORYTELLER_TOKENS_PER_SECOND": "0", "RNG_SEED": "x"}


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read()


def ask(port: int, method: str, path: str, body: Any = None) -> Any:
    status, answer = call(port, method, path, body)
    assert status < 300, answer
    return json.loads(answer)


# -- a first run ----------------------------------------------------------------------------------


@dataclass
class Kept:
    """A turn played before a restart, and the port of the server after it."""

    port: int
    character: str
    opening: str
    answer: Any
    stream: bytes


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    home = tmp_path_factory.mktemp("home")
    with running(home, **QUICK) as process:
        port = process.port()
        made = ask(port, "POST", "/characters", WHO)
        turn = {"character_id": made["character_id"], "user_action": "I look around."}
        answer = ask(port, "POST", "/turn", turn)
        _, stream = call(port, "POST", "/turn/stream", turn)
        assert process.stop() == 0
    with running(home, **QUICK) as process:
        yield Kept(process.port(), made["character_id"], made["narrative"], answer, stream)


def test_a_story_is_played_with_nothing_configured_and_kept_across_a_restart(kept: Kept) -> None:
    shown = ask(kept.port, "GET", f"/characters/{kept.character}")
    past = [turn["gm_response"] for turn in shown["context"]["narrative"]["recent_turns"]]
    assert kept.answer["subsystem_summary"]["narrative_persisted"] is True
    assert past[:2] == [kept.opening, kept.answer["narrative"]]
    assert shown["turns"] == len(past) == 3
    stored = ask(kept.port, "GET", f"/turns/{kept.answer['turn_id']}")
    assert stored["narrative"] == kept.answer["narrative"]
    other = ask(kept.port, "POST", "/characters", {**WHO, "name": "Ilse"})["character_id"]
    turn = {"character_id": other, "user_action": "I go on."}
    assert ask(kept.port, "POST", "/turn", turn)["narrative"]


def test_a_stream_is_replayed_after_a_restart_byte_for_byte(kept: Kept) -> None:
    turn_id = kept.stream.partition(b"id: ")[2].partition(b":")[0].decode()
    assert call(kept.port, "GET", f"/turns/{turn_id}/events") == (200, kept.stream)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Process]:
    """One with nothing configured."""
    with running(home) as process:
        yield process


def test_start_and_health_name_the_model_and_the_journey_log(server: Process, home: Path) -> None:
    port = server.port()
    health = ask(port, "GET", "/health")
    assert (health["model"], health["journey_log"]) == ("offline storyteller", "embedded")
    assert "offline storyteller" in server.text
    assert call(port, "GET", "/")[0] == 200
    assert ask(port, "GET", "/journey-log/health")["status"] == "healthy"
    assert {path.suffix for path in (home / "data").iterdir()} >= {".db"}


def test_the_embedded_journey_log_is_not_mounted_on_an_open_host(tmp_path: Path) -> None:
    with running(tmp_path, HOST="0.0.0.0", ALLOW_ANONYMOUS="true") as process:
        port = process.port()
        assert call(port, "GET", "/live")[0] == 200
        assert call(port, "GET", "/journey-log/health")[0] == 404


def test_a_refused_handshake_is_no_error(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        with pytest.raises(InvalidStatus, match="404"):
            dialled(f"ws://127.0.0.1:{process.port()}/ws/1")
        assert process.stop() == 0
    [refused] = [line for line in process.log if " websocket " in line]
    assert "status=404" in refused
    assert [line for line in process.log if "[error" in line] == []


class Drain:
    """Notes in which context it is asked to finish."""

    running = 0

    def __init__(self) -> None:
        self.context: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def refuse_new(self) -> None:
        pass

    async def finish(self, grace: float) -> int:
        self.context.set_result(get_contextvars())
        return 0


@in_loop
async def test_what_a_signal_begins_is_not_logged_as_part_of_the_request_that_it_interrupts() -> (
    None
):
    drain = Drain()
    application: Any = SimpleNamespace(drains=[drain], send_readers_away=lambda: None)
    server = Server(uvicorn.Config("none"), application, grace=1)
    server._loop = asyncio.get_running_loop()
    with bound_contextvars(request_id="interrupted"):
        server.handle_exit(signal.SIGTERM, None)
    assert await drain.context == {}


# -- refusing to start ----------------------------------------------------------------------------


def test_a_second_server_on_the_same_store_does_not_start(server: Process, home: Path) -> None:
    port = server.port()
    second = Process(home, "serve", PORT="0")
    assert second.exit_code() == 2
    assert len(second.log) == 1
    assert second.log[0].startswith("dungeon-master: STORE_URL: ")
    assert call(port, "GET", "/live")[0] == 200


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path, server: Process) -> None:
    second = Process(tmp_path, "serve", PORT=str(server.port()))
    assert second.exit_code() == 2
    assert len(second.log) == 1, second.text
    assert second.log[0].startswith(f"dungeon-master: PORT: {server.port()} is in use")
    assert "HOST" in second.text


def test_a_host_that_is_no_address_here_stops_the_start(tmp_path: Path) -> None:
    for host in ("192.0.2.7", "nowhere.invalid"):
        process = Process(tmp_path, "serve", HOST=host, PORT="0", ALLOW_ANONYMOUS="true")
        assert process.exit_code() == 2
        assert len(process.log) == 1, process.text
        assert process.log[0].startswith("dungeon-master: HOST: ")


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]"])
def test_every_spelling_of_loopback_is_listened_on(tmp_path: Path, host: str) -> None:
    with running(tmp_path, HOST=host) as process:
        found = process.logged(re.compile(r"Uvicorn running on http://\S+:(\d+)"))
        address = host.strip("[]")
        with closing(http.client.HTTPConnection(address, int(found[1]), timeout=300)) as connection:
            connection.request("GET", "/live")
            assert connection.getresponse().status == 200


def test_a_process_with_a_bad_setting_ends_with_one_line(tmp_path: Path) -> None:
    process = Process(tmp_path, "serve", PORT="hunter2")
    assert process.exit_code() == 2
    assert len(process.log) == 1, process.text
    assert process.log[0].startswith("dungeon-master: PORT: ")


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
def test_a_bad_setting_stops_the_start_with_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "0")  # others may use the usual one
    monkeypatch.setenv(name, value)
    assert main(["serve"]) == 2
    out, message = capsys.readouterr()
    assert (out, message.count("\n")) == ("", 1)
    assert message.startswith(f"dungeon-master: {name}: ")
    if name != "STORE_URL":  # an address in the file system is no secret, and is needed
        assert value not in message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "STORE_URL",
            "sqlite:///.",
            "must be sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE",
        ),
        (
            "STORE_URL",
            "sqlite:////",
            "must be sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE",
        ),
        ("STORE_URL", "sqlite:///..", "cannot be used (Is a directory)"),
        ("STORE_URL", "sqlite:////proc/x/y.db", "cannot be used (No such file or directory)"),
        ("STORE_URL", "sqlite:///text", "cannot be used (file is not a database)"),
        ("MODERATION_WORDS_FILE", ".", "cannot be read (Is a directory)"),
        ("MODERATION_WORDS_FILE", "latin", "cannot be read (it is not UTF-8 text)"),
        ("POLICY_CONFIG_FILE", ".", "cannot be read (Is a directory)"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_in_plain_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    message: str,
) -> None:
    (tmp_path / "text").write_text("no database" * 500)
    (tmp_path / "latin").write_bytes(b"w\xf6rd")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("MODERATION", "words" if name == "MODERATION_WORDS_FILE" else "off")
    monkeypatch.setenv(name, value)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == f"dungeon-master: {name}: {message}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{", "cannot be read as JSON"),
        ("[]", "must hold a JSON object"),
        ('{"quest_trigger_prob": 2}', "quest_trigger_prob: must be a number from 0 to 1"),
        ('{"quest_prob": 0.5}', "quest_prob: there is no such field; did you mean"),
        ('{"poi_cooldown_turns": "many"}', "poi_cooldown_turns: must be a whole number from 0 to"),
    ],
)
def test_a_policy_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    message: str,
) -> None:
    file = tmp_path / "policy.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("POLICY_CONFIG_FILE", str(file))
    assert main(["serve"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"dungeon-master: POLICY_CONFIG_FILE: {message}")


def test_a_name_in_the_file_that_is_no_setting_is_logged_at_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AUTHMODE=jwt\n")
    with running(tmp_path) as process:
        process.port()
        found = process.logged(re.compile(r"unknown_setting.*"))
        assert "did_you_mean=AUTH_MODE" in found[0]
        assert "setting=AUTHMODE" in found[0]


# -- the command line -----------------------------------------------------------------------------


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
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
