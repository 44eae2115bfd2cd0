"""Clients of one character on several nodes at once, and what they and the upstreams saw, as a history."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from concurrent.futures import Future
from typing import Any

from clusters import Cluster, action_of
from histories import Operation

from serving import TIMEOUT, Served, aside, frame_event, read_frames, turn_body

KEYS = ("", "one", "two")
BODIES = ("open", "shut")


class Recording:
    """`clients` threads make `requests` each, to nodes of their choice: posts with few keys and bodies, and
    cancels. Times are those of `time.monotonic()`."""

    def __init__(self, made: Cluster, seed: int, clients: int, requests: int) -> None:
        self.character = made.journey_log.seed_character()
        self._made = made
        self._seed = seed
        self._clients = clients
        self._requests = requests
        self._lock = threading.Lock()
        self._asked: list[Operation] = []
        self._turns: list[str] = []  # that a client has heard of
        self._actions: dict[str, str] = {}
        self._ends: dict[str, tuple[float, str]] = {}
        self._streams: list[Future[None]] = []

    def run(self) -> list[Operation]:
        clients = [aside(self._client, number) for number in range(self._clients)]
        for client in clients:
            client.result(TIMEOUT)
        for stream in self._streams:
            stream.result(TIMEOUT)
        return [*self._asked, *self._own()]

    def _client(self, number: int) -> None:
        draw = random.Random(self._seed * 100 + number)
        for request in range(self._requests):
            node = self._made.any(draw)
            if self._turns and draw.random() < 0.4:
                self._cancel(node, draw.choice(self._turns[-4:]))
            else:
                key, body = draw.choice(KEYS), draw.choice(BODIES)
                self._post(node, key and f"{self.character} {key}", body, f"{number}.{request}")

    def _record(self, operation: Operation) -> None:
        with self._lock:
            self._asked.append(operation)

    def _cancel(self, node: Served, turn_id: str) -> None:
        called = time.monotonic()
        status = node.cancel(turn_id).status
        answer = {202: "taken", 409: "refused"}[status]
        self._record(Operation("cancel", called, time.monotonic(), turn_id, answer))

    def _post(self, node: Served, key: str, body: str, name: str) -> None:
        """Without a key the action is one of its own, so that it can be found at the upstreams; with one
        it is the same for all who ask for the same."""
        action = f"{self.character} {key or name} {body}"
        sent = turn_body(self.character, action, **({"idempotency_key": key} if key else {}))
        called, answered = time.monotonic(), threading.Event()

        def stream() -> None:
            try:
                with node.open("POST", "/turn/stream", sent) as response:
                    turn_id = response.headers["X-Turn-Id"] or ""
                    answer = {200: "turn", 409: "busy", 422: "reused"}[response.status]
                    self._record(
                        Operation("post", called, time.monotonic(), turn_id, answer, key, body)
                    )
                    if turn_id:
                        self._heard_of(turn_id, action)
                        answered.set()
                        self._read(turn_id, response)
            finally:
                answered.set()

        self._streams.append(aside(stream))
        assert answered.wait(TIMEOUT)

    def _heard_of(self, turn_id: str, action: str) -> None:
        with self._lock:
            if turn_id not in self._actions:
                self._actions[turn_id] = action
                self._turns.append(turn_id)

    def _read(self, turn_id: str, response: Any) -> None:
        for block in read_frames(response):
            frame = block[block.index(b"id: ") :] if b"id: " in block else b""
            if frame and (kind := frame_event(frame)["type"]) in ("complete", "cancelled", "error"):
                seen = time.monotonic(), kind
                with self._lock:
                    self._ends[turn_id] = min(seen, self._ends.get(turn_id, seen))
                return

    def _own(self) -> list[Operation]:
        """What the service did between: the model was asked after the start and before the commit, and the
        narrative was written between the commit and the end."""
        called = defaultdict(list)
        for one in self._asked:
            called[one.turn].append(one.called)
        requests = self._made.model.requests
        asked = {action_of(r): r.at for r in requests if r.method == "POST"}
        writes = [w for w in self._made.journey_log.writes if w.kind == "narrative"]
        written = {(w.body or {})["user_action"]: w.at for w in writes}
        found = []
        for turn_id, action in self._actions.items():
            (ended, how), first = self._ends[turn_id], min(called[turn_id])
            at = asked.get(action)
            if at is not None:
                found.append(Operation("start", first, at, turn_id))
            if how == "complete":
                assert at is not None
                found.append(Operation("commit", at, written[action], turn_id))
            lowest = written[action] if how == "complete" else first
            found.append(Operation("end", lowest, ended, turn_id, how))
        return found
