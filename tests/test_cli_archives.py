"""A character as a file, and the erasure of a user, from the command line."""

from __future__ import annotations

import io
import json
import stat
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.preparing import at_the_start
from app.cli import output
from app.cli.main import main

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog, answers
from fakes.model import FakeModel
from serving import Served

MAREN = {"name": "Maren", "race": "Human", "class_name": "Ranger"}
USER, WORD = "qwertz-user", "xyzzy"


class Home:
    """A folder with a store and a journey-log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/store.db"

    def serve(self, model: FakeModel) -> Served:
        return Served(store_url=self.url, openai_base_url=model.base_url)

    @property
    def bytes(self) -> dict[str, bytes]:
        """All files but those that locks need."""
        return {
            file.name: file.read_bytes()
            for file in self.folder.glob("*.db*")
            if not file.name.endswith((".lock", "-shm"))
        }


class Desk:
    """An operator's: commands on one home at a time."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        monkeypatch.chdir(folder)
        self._environment, self._capsys = monkeypatch, capsys

    def run(self, home: Home, *arguments: str, expected: int = 0) -> tuple[str, str]:
        """What the command prints, and what it complains of."""
        self._environment.setenv("STORE_URL", home.url)
        assert main(list(arguments)) == expected
        shown = self._capsys.readouterr()
        assert "Traceback" not in shown.err
        return shown.out, shown.err


@pytest.fixture
def desk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Desk:
    return Desk(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def model() -> Iterator[FakeModel]:
    with FakeModel() as model:
        yield model


@pytest.fixture(scope="module")
def exported(model: FakeModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, Path]:
    """A home with a character that has taken a turn, and its file, written beside the server."""
    folder = tmp_path_factory.mktemp("home")
    home, file = Home(folder), folder / "maren.json"
    served = home.serve(model)
    try:
        made = served.call("POST", "/characters", MAREN, X_User_Id=USER)
        character = made.json()["character_id"]
        turn = {"character_id": character, "user_action": f"I say {WORD}."}
        assert served.call("POST", "/turn", turn, X_User_Id=USER).status == 200
        with pytest.MonkeyPatch.context() as environment:
            environment.chdir(folder)
            environment.setenv("STORE_URL", home.url)
            assert main(["export", character, str(file)]) == 0
    finally:
        served.close()
    return home, character, file


def in_first_version(data: bytes) -> bytes:
    """The same file as the first release would have written it."""
    body = json.loads(data.partition(b"\n")[2])
    del body["cost_micros"]
    return sealed(body, b'{"format": "dungeon-master character", "version": 1}')


def sealed(body: dict[str, Any], head: bytes) -> bytes:
    """A file with a good checksum."""
    other = json.dumps(body).encode()
    digest = sha256(other).hexdigest()
    return json.dumps(json.loads(head) | {"sha256": digest}).encode() + b"\n" + other


def test_a_character_moves_to_another_installation_and_plays_on(
    exported: tuple[Home, str, Path], desk: Desk, model: FakeModel, tmp_path: Path
) -> None:
    _, character, file = exported
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    there = Home(tmp_path)
    added = f"{character} of {USER}: 2 turns and 0 contents were added\n"
    assert desk.run(there, "import", str(file))[0] == added
    again, _ = desk.run(there, "import", str(file))
    assert again == added.replace("2 turns", "0 turns")
    first_version = tmp_path / "first.json"
    first_version.write_bytes(in_first_version(file.read_bytes()))
    assert desk.run(there, "import", str(first_version))[0] == again
    copy = tmp_path / "copy.json"
    desk.run(there, "export", character, str(copy))
    assert copy.read_bytes() == file.read_bytes()
    _, reason = desk.run(there, "export", character, str(copy), expected=1)
    assert reason == f"dungeon-master: {copy}: File exists\n"
    _, reason = desk.run(there, "export", character, f"{copy}/x", expected=1)
    assert reason == f"dungeon-master: {copy}/x: Not a directory\n"
    served = there.serve(model)
    try:
        seen = served.call("GET", f"/characters/{character}/turns", X_User_Id=USER).json()
        assert WORD in seen["turns"][0]["user_action"]
        turn = {"character_id": character, "user_action": "I go on."}
        assert served.call("POST", "/turn", turn, X_User_Id=USER).status == 200
    finally:
        served.close()
    _, reason = desk.run(there, "import", str(file), expected=1)
    assert "its story is not that of the file" in reason
    desk.run(there, "export", "none", "-", expected=1)


def damaged(file: Path) -> dict[str, bytes]:
    """What is wrong, and the bytes."""
    whole = file.read_bytes()
    head, _, body = whole.partition(b"\n")

    def remade(change: dict[str, Any]) -> bytes:
        return sealed(json.loads(body) | change, head)

    story = json.loads(body)["journey_log"]
    turns = json.loads(body)["turns"]
    return {
        "does not match its checksum": whole[:-1],
        "the file is damaged": whole.replace(b"Maren", b"Marem"),
        "is no export of a character": b"",
        "the file is no export": b"\x00" * 100,
        "has version 3": whole.replace(b'"version":2', b'"version":3'),
        "turns: ": remade({"turns": "none"}),
        "turns.0.status: ": remade({"turns": [turns[0] | {"status": "running"}]}),
        "turns.0.events.0.1: ": remade({"turns": [turns[0] | {"events": [[1, "{}"]]}]}),
        "journey_log.turns: has other": remade(
            {
                "journey_log": story
                | {"turns": [{"character_id": turns[0]["request"]["character_id"]}]}
            }
        ),
        "journey_log.pois: has a row": remade({"journey_log": story | {"pois": [{}]}}),
        "is no document of one": remade({"journey_log": {"turns": []}}),
        "has no part of journey-log": remade({"journey_log": None}),
        "not nobody's": remade({"user_id": "nobody"}),
    }


def test_a_damaged_file_is_one_line_and_writes_nothing(
    exported: tuple[Home, str, Path], desk: Desk, tmp_path: Path
) -> None:
    there = Home(tmp_path)
    given = tmp_path / "given.json"
    for reason, data in damaged(exported[2]).items():
        given.write_bytes(data)
        _, said = desk.run(there, "import", str(given), expected=1)
        assert said.startswith("dungeon-master: ")
        assert reason in said
        assert said.count("\n") == 1
        assert not any(WORD.encode() in kept for kept in there.bytes.values())
    desk.run(there, "import", str(tmp_path / "none.json"), expected=1)
    assert "there is no character" in desk.run(there, "export", exported[1], "-", expected=1)[1]


def test_nothing_of_a_user_is_left_in_any_file(
    exported: tuple[Home, str, Path], desk: Desk, model: FakeModel, tmp_path: Path
) -> None:
    there = Home(tmp_path)
    desk.run(there, "import", str(exported[2]))
    assert all(word in b"".join(there.bytes.values()) for word in (USER.encode(), WORD.encode()))
    assert "name --yes" in desk.run(there, "forget", USER, expected=2)[1]
    served = there.serve(model)
    try:
        assert "another server is using" in desk.run(there, "forget", USER, "--yes", expected=2)[1]
    finally:
        served.close()
    said, _ = desk.run(there, "forget", USER, "--yes")
    assert "journey-log characters" in said
    for name, kept in there.bytes.items():
        assert USER.encode() not in kept, name
        assert WORD.encode() not in kept, name
    assert desk.run(there, "forget", USER, "--yes")[0] == f"there was nothing of {USER}\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("", 2)])
def test_a_terminal_is_asked(
    exported: tuple[Home, str, Path],
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    asked, _ = desk.run(exported[0], "forget", "a-stranger", expected=code)
    assert asked.startswith("Everything of a-stranger will be erased for good. Go on? [y/N] ")


def test_long_commands_show_a_count_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(output, "SECOND", 0.0)
    with output.waiting("erasing"):
        while "erasing … 0 s" not in terminal.getvalue():
            pass
    assert terminal.getvalue().endswith("\n")


def test_story_kept_by_a_remote_journey_log_stays_there(
    exported: tuple[Home, str, Path],
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    _, character, file = exported
    there = Home(tmp_path)
    there.url = SERVERS.postgres.url()
    at_the_start(Database(there.url))
    with FakeJourneyLog() as journey_log:
        monkeypatch.setenv("JOURNEY_LOG_BASE_URL", journey_log.url)
        journey_log.seed_character(USER, character)
        assert "does not take" in desk.run(there, "import", str(file), expected=1)[1]
        desk.run(there, "import", str(file), "--without-journey-log")
        copy = tmp_path / "copy.json"
        desk.run(there, "export", character, str(copy))
        said, _ = desk.run(there, "forget", USER, "--yes")
        assert "turns                            2\n" in said
        assert "the remote journey-log keeps what it has" in said
        journey_log.always("list", answers(403))
        refused = desk.run(there, "forget", USER, "--yes", expected=1)[1]
        assert "does not say which characters" in refused
    monkeypatch.delenv("JOURNEY_LOG_BASE_URL")
    home = Home(tmp_path)
    assert "has no part of journey-log" in desk.run(home, "import", str(copy), expected=1)[1]
