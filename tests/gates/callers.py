"""Players behind tokens, and clocks that a test sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from app.ports.clock import Clock

from fakes.journey_log import FakeJourneyLog
from passes import WITH_SECRET, bearer, token
from serving import Reply, Served, turn_body

T = TypeVar("T")

PLAIN = {"quest_trigger_prob": 0, "poi_trigger_prob": 0, "rng_seed": "x"}
UNDER_JWT = {**WITH_SECRET, **PLAIN}
MIDDAY = 1_790_000_000 // 86_400 * 86_400 + 43_200.25


class Watch:
    """Epoch seconds that pass when a test says so; `ahead`: seconds that the monotonic clock skipped."""

    def __init__(self, now: float = MIDDAY) -> None:
        self.now = now
        self.ahead = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, monotonic=lambda: time.monotonic() + self.ahead)


class Player:
    """One user with characters of their own."""

    def __init__(self, service: Served, journey_log: FakeJourneyLog, name: str = "mara") -> None:
        self.service = service
        self._journey_log = journey_log
        self.name = name
        known = service.settings.auth_mode == "jwt"
        self.headers = bearer(token(sub=name)) if known else {"X_User_Id": name}

    def character(self) -> str:
        return self._journey_log.seed_character(self.name)

    def turn(self, character: str | None = None, body: Any = None, **headers: str) -> Reply:
        """A whole turn, of a new character unless one is named."""
        asked = turn_body(character or self.character(), **(body or {}))
        return self.service.call("POST", "/turn", asked, **self.headers, **headers)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return self.service.call(method, path, body, **self.headers, **headers)

    def usage(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.call("GET", "/usage").json()
        return shown


def all_at_once(work: Sequence[Callable[[], T]]) -> list[T]:
    """Each in a thread, all let go together."""
    line = threading.Barrier(len(work))

    def run(each: Callable[[], T]) -> T:
        line.wait(300)
        return each()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def statuses(replies: Sequence[Reply]) -> list[int]:
    return sorted(reply.status for reply in replies)
