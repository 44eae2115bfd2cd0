"""What the runs of both front ends share: the service, its turns, and a page to click in."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import processes
from browser import Tab

PATIENCE = 300.0  # seconds: these programs begin slowly
ACTIONS = (
    "I look around.",
    "I knock on the door.",
    "I wait for a while.",
    "I light a torch.",
    "I listen at the wall.",
    "I sit down and rest.",
)
Found = TypeVar("Found")


def until(what: str, find: Callable[[], Found | None], seconds: float = PATIENCE) -> Found:
    """What `find` gives once it is something."""
    end = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > end:
            raise SystemExit(f"not so after {seconds:.0f} s: {what}")
        time.sleep(0.2)
    return found


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def started(
    command: Sequence[str], folder: Path, address: str, environment: Mapping[str, str]
) -> Iterator[None]:
    """A server that answers at `address`; what it says goes to a file in `folder`."""
    with (folder / "output.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        try:
            until(
                f"{command[0]} has started", lambda: process.poll() is not None or answers(address)
            )
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended; see {folder / 'output.log'}")
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


class Game(NamedTuple):
    """A character of the service at `base`."""

    base: str
    character_id: str

    @property
    def model(self) -> str:
        return f"dungeon-master/{self.character_id}"

    def turns(self) -> list[dict[str, Any]]:
        """Without the opening, oldest first."""
        path = f"/characters/{self.character_id}/turns?limit=100"
        found = call(self.base, "GET", path)["turns"]
        return [turn for turn in reversed(found) if turn["user_action"] is not None]

    def played(self, number: int) -> dict[str, Any]:
        """Turn `number` from 0, once it has ended."""

        def ended() -> dict[str, Any] | None:
            turns = self.turns()
            open_ones = [one for one in turns if one["status"] in ("queued", "running")]
            return turns[number] if len(turns) > number and not open_ones else None

        return until(f"turn {number} has ended", ended)

    def begun(self, number: int) -> None:
        """Once the first words of turn `number` are there."""

        def has_begun() -> bool:
            turns = self.turns()
            return len(turns) > number and bool(turns[number]["narrative"])

        until(f"turn {number} has begun", has_begun)

    def check(self) -> None:
        """As many turns as actions."""
        said = [turn["user_action"] for turn in self.turns()]
        assert said == list(ACTIONS), said
        assert {turn["status"] for turn in self.turns()} == {"complete"}


def call(base: str, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        base + path, data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


@contextmanager
def game(folder: Path) -> Iterator[Game]:
    """The service with the offline storyteller, and a character whose story has begun."""
    folder.mkdir()
    settings = {
        "STORE_URL": f"sqlite:///{folder}/store.db",
        "STORYTELLER_TOKENS_PER_SECOND": "40",
        "MAX_TURNS_PER_CHARACTER_PER_SECOND": "100",
    }
    with processes.running(folder, **settings) as service:
        base = f"http://127.0.0.1:{service.port()}"
        sheet = {"name": "Odo", "race": "human", "class_name": "ranger"}
        yield Game(base, call(base, "POST", "/characters", sheet)["character_id"])


# -- pages ----------------------------------------------------------------------------------------


def wait(tab: Tab, expression: str) -> None:
    """Until a JavaScript expression is true."""
    tab.wait(expression, PATIENCE)


def say(tab: Tab, field: str, text: str, button: str) -> None:
    """Type into a field, as a keyboard does, and press the button."""
    print(f"  {text}", flush=True)
    place = f"document.querySelector({json.dumps(field)})"
    wait(tab, place)
    tab.run(f"{place}.focus()")
    wait(tab, f"document.activeElement === {place}")
    tab.call("Input.insertText", text=text)
    written = f"({place}.value ?? {place}.innerText).includes({json.dumps(text)})"
    wait(tab, written)

    def taken() -> bool:
        """A page that is still busy with something else takes nothing."""
        if tab.run(written):
            press(tab, f"document.querySelector({json.dumps(button)})")
            time.sleep(1)
        return not tab.run(written)

    until("the page takes the action", taken)


def press(tab: Tab, expression: str) -> None:
    """Click what a JavaScript expression gives, once it is there."""
    wait(tab, expression)
    tab.run(f"({expression}).click()")


def last_words(turn: Mapping[str, Any]) -> str:
    """Of a narrative, as they look on a page."""
    return str(turn["narrative"]).strip().splitlines()[-1][-40:]


def shows(tab: Tab, turn: Mapping[str, Any]) -> None:
    """Once the page has the narrative to its end."""
    wait(tab, f"document.body.innerText.includes({json.dumps(last_words(turn))})")
