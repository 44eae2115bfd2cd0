"""Clients that retry with idempotency keys, resume, walk away, cancel and read slowly."""

from __future__ import annotations

import http.client
import json
import random
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from app.core.events import TERMINAL_TYPES
from chaos_audit import Seen
from chaos_target import wish

from fakes.journey_log import FakeJourneyLog
from serving import RETRY, frame_event, read_frames, seq_of, turn_body

BROKEN = (OSError, http.client.HTTPException, ValueError)
TIMEOUT = 300.0
PAUSE = 0.03  # seconds before a refused or broken request is made again


@dataclass(frozen=True)
class Manners:
    """Probabilities, per read of a stream."""

    leaves: float = 0.0
    cancels: float = 0.0
    dawdles: float = 0.0


class Where:
    """The port of the life that is up, or 0."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._port = 0
        self._over = False

    def move(self, port: int) -> None:
        with self._changed:
            self._port = port
            self._changed.notify_all()

    def give_up(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def port(self) -> int:
        """Waits for a life. Raises `Over`."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._port, TIMEOUT)
            if self._over or not self._port:
                raise Over
            return self._port


class Over(Exception):
    pass


@dataclass
class Budget:
    """How many turns are still to be played, over all players."""

    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left >= 0


class Player(threading.Thread):
    """Plays one character, turn after turn, through any number of lives of the service."""

    def __init__(
        self,
        where: Where,
        journey_log: FakeJourneyLog,
        budget: Budget,
        seed: int,
        manners: Manners | None = None,
    ) -> None:
        super().__init__(name=f"player {seed}", daemon=True)
        self.character_id = journey_log.seed_character()
        self.seen: list[Seen] = []
        self.accepted: set[str] = set()
        self.complaints: list[str] = []
        self._where = where
        self._journey_log = journey_log
        self._budget = budget
        self._draw = random.Random(seed)
        self._manners = manners or Manners()
        self._idle = threading.Event()

    def run(self) -> None:
        number = 0
        try:
            while self._budget.take():
                number += 1
                self._play(number)
        except Over:
            return

    def _play(self, number: int) -> None:
        action = json.dumps(wish(self._journey_log, self.character_id, number))
        self._turn = _Turn(turn_body(self.character_id, action, idempotency_key=str(uuid.uuid4())))
        while not self._turn.over:
            try:
                self._attempt(self._turn)
            except BROKEN:
                self._idle.wait(PAUSE)

    def _attempt(self, turn: _Turn) -> None:
        """One connection: a stream, as far as it comes."""
        if turn.turn_id is None or self._draw.random() < 0.3:
            after = 0
            answer = self._request("POST", "/turn/stream", turn.body)
        else:
            after = turn.last
            headers = {"Last-Event-ID": f"{turn.turn_id}:{after}"}
            answer = self._request("GET", f"/turns/{turn.turn_id}/events", None, headers)
        connection, response = answer
        try:
            self._answered(turn, response, after)
        finally:
            response.close()
            connection.close()

    def _request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self._where.port(), timeout=TIMEOUT)
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            connection.request(method, path, json.dumps(body) if body else None, sent)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _answered(self, turn: _Turn, response: http.client.HTTPResponse, after: int) -> None:
        if response.status == 200:
            turn_id = response.headers["X-Turn-Id"]
            self.accepted.add(turn_id)
            if turn_id != turn.turn_id:
                turn.turn_id, turn.last = turn_id, 0
            self._read(turn, response, after)
        elif response.status == 204:
            turn.over = True
        elif response.status in (409, 502, 503, 504):
            self._idle.wait(PAUSE)
        else:
            self.complaints.append(f"{response.status} for {turn.turn_id}: {response.read()!r}")
            turn.over = True

    def _read(self, turn: _Turn, response: http.client.HTTPResponse, after: int) -> None:
        frames: list[bytes] = []
        assert turn.turn_id is not None
        try:
            for block in read_frames(response):
                block = block.removeprefix(RETRY)
                if not block.startswith(b"id: "):
                    continue
                frames.append(block)
                turn.last = max(turn.last, seq_of(block))
                if self._ends(turn, frame_event(block)) or self._behaves_badly(turn):
                    return
        finally:
            self.seen.append(Seen(turn.turn_id, after, tuple(frames)))

    def _ends(self, turn: _Turn, event: dict[str, Any]) -> bool:
        if event["type"] not in TERMINAL_TYPES:
            return False
        again = event["type"] == "error" and event["recoverable"]
        turn.over = not again
        if again:
            turn.turn_id, turn.last = None, 0
        return True

    def _behaves_badly(self, turn: _Turn) -> bool:
        """True: the connection is left."""
        draw, manners = self._draw.random(), self._manners
        if draw < manners.leaves:
            return True
        if draw < manners.leaves + manners.cancels:
            connection, response = self._request("POST", f"/turns/{turn.turn_id}/cancel")
            if response.status not in (202, 409):
                self.complaints.append(f"cancel: {response.status} {response.read()!r}")
            response.close()
            connection.close()
        elif draw < manners.leaves + manners.cancels + manners.dawdles:
            self._idle.wait(PAUSE)
        return False


@dataclass
class _Turn:
    body: dict[str, Any]
    turn_id: str | None = None
    last: int = 0
    over: bool = False
