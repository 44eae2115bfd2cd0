"""A server that is killed in mid-turn, twice, before the reader's eyes.

    make demo-crash

First while it writes to journey-log: the reader's stream goes on after the restart, and nothing is written
twice. Then in the middle of the story: nothing has been written, so the turn ends as interrupted, and the
same request with the same key plays it anew. Everything runs in a temporary folder and is ended with it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, TextIO

import httpx
import uvicorn
from app.client import SyncClient
from app.standins.journey_log import EmbeddedJourneyLog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tools.ports import free_port

START_SECONDS: Final = 300.0  # only what fails takes so long
ANSWER_SECONDS: Final = 1.0  # how long journey-log keeps its answer to a write to itself
TOKENS_BEFORE_THE_KILL: Final = 8
ACTION: Final = "I ask the keeper what he wants from me."


class SlowJourneyLog:
    """journey-log as an ASGI app that answers each write late, once it is stored, and lists them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.stored: list[str] = []
        self.changed = threading.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        write = scope["type"] == "http" and scope["method"] in ("POST", "PUT", "DELETE")
        if not write or scope["path"] == "/characters":
            await self._app(scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        if answer[0]["status"] < 400:
            self._note(f"{scope['method']} {scope['path'].rpartition('/')[2]}")
        await asyncio.sleep(ANSWER_SECONDS)
        for message in answer:
            await send(message)

    def _note(self, write: str) -> None:
        with self.changed:
            self.stored.append(write)
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Until so many writes are stored."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.stored) >= count, START_SECONDS)


@contextmanager
def _journey_log(folder: Path, port: int) -> Iterator[SlowJourneyLog]:
    embedded = EmbeddedJourneyLog(folder / "journey-log.db")
    embedded.open()
    slow = SlowJourneyLog(embedded.app)
    config = uvicorn.Config(slow, port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="journey-log", daemon=True)
    thread.start()
    try:
        yield slow
    finally:
        server.should_exit = True
        thread.join()
        embedded.close()


def serving(folder: Path, settings: dict[str, str], log: TextIO) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("dungeon-master")), "serve"]
    return subprocess.Popen(command, cwd=folder, env=settings, stdout=log, stderr=log)


class Service:
    """The service as a process; `kill` ends it without a warning, `start` begins it again."""

    def __init__(self, folder: Path, journey_log: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._settings = {
            "PORT": str(self.port),
            "STORE_URL": f"sqlite:///{folder}/store.db",
            "JOURNEY_LOG_BASE_URL": f"http://127.0.0.1:{journey_log}",
            "STORYTELLER_TOKENS_PER_SECOND": "40",
            "QUEST_TRIGGER_PROB": "1",
            "POI_COOLDOWN_TURNS": "0",
            "POI_TRIGGER_PROB": "1",
            **os.environ,
            "OPENAI_API_KEY": "",
            "OPENAI_BASE_URL": "",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers. Raises `SystemExit` where it does not."""
        with (self._folder / "service.log").open("a") as log:
            self._process = serving(self._folder, self._settings, log)
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit((self._folder / "service.log").read_text()[-4000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/live")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart_after_kill(self) -> None:
        _say("\n\n*** kill -9 ***\n")
        self.kill()
        self.start()
        _say("*** started again on the same folder ***\n\n")


def _say(text: str) -> None:
    print(text, end="", flush=True)


def _killed_while_it_writes(service: Service, journey_log: SlowJourneyLog, character: str) -> bool:
    """Whether the stream went on to its end over the kill, with every write stored once."""
    _say(f"1. It dies while it writes.\n\n> {ACTION}\n")
    before = len(journey_log.stored)
    with SyncClient(f"http://127.0.0.1:{service.port}") as client:
        for event in client.turn(character, ACTION):
            match event["type"]:
                case "token":
                    _say(event["content"])
                case "metadata" if event["phase"] == "writes":
                    journey_log.wait_for(before + 1)
                    service.restart_after_kill()
                case "write":
                    _say(f"receipt: {event['subsystem']} {event['action']}\n")
                case "complete" | "error" | "cancelled":
                    _say(f"the stream's last event: {event['type']}\n")
    written = Counter(journey_log.stored[before:])
    _say("\njourney-log has stored:\n")
    for write, times in written.items():
        _say(f"  {write}: {times} time{'s' if times > 1 else ''}\n")
    return event["type"] == "complete" and set(written.values()) == {1}


def _killed_while_generating(service: Service, journey_log: SlowJourneyLog, character: str) -> bool:
    """Whether nothing was written of the interrupted turn, and its request could be sent again."""
    _say(f"\n2. It dies in mid-story.\n\n> {ACTION}\n")
    before, key, tokens = len(journey_log.stored), "demo-2", 0
    with SyncClient(f"http://127.0.0.1:{service.port}") as client:
        for event in client.turn(character, ACTION, key=key):
            if event["type"] == "token":
                _say(event["content"])
                tokens += 1
                if tokens == TOKENS_BEFORE_THE_KILL:
                    service.restart_after_kill()
        _say(f"\nthe stream's last event: {event['type']}, {event.get('error_type', '')}\n")
        untouched = len(journey_log.stored) == before
        _say(f"written to journey-log: {'nothing' if untouched else 'something'}\n")
        _say("\nthe same request, sent again with the same key:\n")
        again = client.play(character, ACTION, key=key)
    _say(f"{again['narrative']}\n{again['status']}\n")
    return untouched and event["type"] == "error" and again["status"] == "complete"


def _stories(port: int, character: str) -> list[Any]:
    """What journey-log itself has."""
    url = f"http://127.0.0.1:{port}/characters/{character}/narrative?n=100"
    turns: list[Any] = httpx.get(url, headers={"X-User-Id": "local"}).json()["turns"]
    return turns


def main() -> int:
    """0 where nothing was lost and nothing written twice."""
    with tempfile.TemporaryDirectory(prefix="demo-crash-") as name:
        folder, port = Path(name), free_port()
        with _journey_log(folder, port) as journey_log:
            service = Service(folder, port)
            _say("Starting …\n\n")
            try:
                service.start()
                with SyncClient(f"http://127.0.0.1:{service.port}") as client:
                    made = client.create_character("Maren Ashdown", "human", "ranger")
                character = made["character_id"]
                well = _killed_while_it_writes(service, journey_log, character)
                well = _killed_while_generating(service, journey_log, character) and well
                stories = [turn["gm_response"] for turn in _stories(port, character)]
            finally:
                service.kill()
    well = well and len(stories) == len(set(stories)) == 3
    _say(f"\njourney-log has {len(stories)} turns: the opening and the two above, each once.\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
