"""One life of the service: a process with the real server on a real socket, doomed at a named point.

Nothing in the product knows of this: the adapters are the real ones, and what stands around them
here ends the process between two of their calls.
"""

from __future__ import annotations

import os
import signal
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import httpx
import structlog
import uvicorn
from app.adapters.journey_log.answers import Answer
from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.journey_log.exchanges import DirectExchange
from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.bootstrap import Builder, load_settings
from app.bootstrap.features import FEATURES
from app.cli.server import Server
from app.core.writes import PlannedWrite
from app.feature import FeatureSpec
from app.ports.clock import Clock
from app.ports.model import Flow, LanguageModel, ModelEnd, ModelRequest, OnDelta
from app.settings import SharedSettings
from app.turns.wiring import FEATURE as TURNS
from app.turns.wiring import wire as wire_turns
from app.turns.write_fate import DeliveryPolicy
from chaos_faults import Blind, Fault, weakened
from chaos_target import INTENDED

from processes import CONTEXT, TIMEOUT, forked

CLIENT_TIMEOUT = 0.25
READ_TIMEOUT = 120.0
SETTLE = 1.5  # longer than the target's latest commit
Hit = Callable[[str], None]

JOURNAL = ("admit", "validate", "step 1", "step 2", "step 3", "finish", "resend", "note")
WRITES = ("quest write", "combat write", "poi write", "narrative write")
INSIDE_POINTS = (
    *(f"{when} {what}" for what in (*JOURNAL, *WRITES) for when in ("before", "after")),
    "first token",
    "mid stream",
)
TARGET_POINTS = tuple(f"while the target works on {what}" for what in WRITES)
POINTS = INSIDE_POINTS + TARGET_POINTS


@dataclass(frozen=True)
class Life:
    """`doom` is one of INSIDE_POINTS, its `hit`-th time; None: it lives until it is stopped.

    `broken`: which part of the durability protocol is left out, for the negative controls.
    `beside`: do without the lock file, so that a second process can share the store.
    """

    directory: Path
    model_url: str
    journey_log_url: str
    doom: str | None = None
    hit: int = 1
    broken: Fault = "none"
    beside: bool = False
    timeout: float = CLIENT_TIMEOUT
    settle: float = SETTLE
    settings: tuple[tuple[str, Any], ...] = ()
    url: str = ""

    @property
    def store(self) -> Path | str:
        """The file of SQLite, or the URL of PostgreSQL."""
        return self.url or self.directory / "store.db"


def settings_of(life: Life) -> SharedSettings:
    given: dict[str, Any] = {
        "store_url": life.url or f"sqlite:///{life.store}",
        "openai_base_url": life.model_url,
        "openai_api_key": "sk-test-key",
        "llm_probe": "off",
        "journey_log_base_url": life.journey_log_url,
        "journey_log_retry_delay_base": 0.1,
        "journey_log_retry_delay_max": 1,
        "journey_log_max_retries": 10,
        "port": 0,
        "quest_trigger_prob": 1,
        "poi_trigger_prob": 1,
        "quest_cooldown_turns": 0,
        "poi_cooldown_turns": 0,
        "rng_seed": "chaos",
        "max_streams_per_client": 1000,
        "max_turns_per_character_per_second": 100,
        "max_loop_lag_seconds": 60,
        "log_level": "CRITICAL",
    }
    return load_settings(_env_file=None, **(given | dict(life.settings)))


# -- what stands around the adapters --------------------------------------------------------------


class Watched:
    """Passes every call on; those with a name go by `hit` before and after."""

    def __init__(self, real: object, hit: Hit, named: Callable[..., str | None]) -> None:
        self.__dict__.update(_real=real, _hit=hit, _named=named)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._real, name, value)

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._real, method)

        async def watched(*args: Any, **fields: Any) -> Any:
            name = self._named(method, *args)
            if name is None:
                return await call(*args, **fields)
            if method in _INTENDING:
                _intended.set(f"{time.time():.6f}")
            self._hit(f"before {name}")
            result = await call(*args, **fields)
            self._hit(f"after {name}")
            return result

        return watched if method in _WATCHED else call


# Before each write one of these records that it is about to be sent.
_INTENDING = frozenset({"validate", "step", "resend"})
_intended: ContextVar[str] = ContextVar("intended", default="")
_WATCHED = frozenset({"admit", "validate", "step", "finish", "resend", "note", "write"})


def journal_point(method: str, *args: Any) -> str:
    return f"step {args[1]}" if method == "step" else method


def write_point(method: str, *args: Any) -> str:
    write: PlannedWrite = args[2]
    return f"{write.subsystem} {method}"


class StampedExchange:
    """Sends with each write when it was intended at the earliest, so that the target can keep to the
    time in which it has to land. Only writes are answered too late on purpose: reads may take their
    time."""

    def __init__(self, url: str, timeout: float) -> None:
        tls = ssl.create_default_context()
        self._reads, self._writes = (
            DirectExchange(url, httpx.Timeout(seconds), limit=1000, tls=tls)
            for seconds in (READ_TIMEOUT, timeout)
        )

    async def send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> Answer:
        if method == "GET":
            return await self._reads.send(method, path, headers, content)
        stamped = {**headers, INTENDED: _intended.get()}
        return await self._writes.send(method, path, stamped, content)

    async def aclose(self) -> None:
        await self._reads.aclose()
        await self._writes.aclose()


class WatchedModel:
    def __init__(self, real: LanguageModel, hit: Hit) -> None:
        self._real = real
        self._hit = hit
        self.name, self.api = real.name, real.api
        self.complete, self.available, self.aclose = real.complete, real.available, real.aclose

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        reads = 0

        def watched(deltas: list[str]) -> Flow:
            nonlocal reads
            over = on_delta(deltas)
            reads += 1
            if reads in _READS:
                self._hit(_READS[reads])
            return over

        return await self._real.stream(request, watched)


_READS = {1: "first token", 2: "mid stream"}


# -- putting it together --------------------------------------------------------------------------


class ChaosBuilder(Builder):
    def __init__(self, life: Life) -> None:
        others = [feature for feature in FEATURES if feature is not TURNS]
        super().__init__(settings_of(life), Clock(), (_turns(life), *others))
        self._life = life
        self._hits = 0

    def _hit(self, point: str) -> None:
        if point != self._life.doom:
            return
        self._hits += 1
        if self._hits >= self._life.hit:
            os.kill(os.getpid(), signal.SIGKILL)

    def store(self) -> SqliteTurnStore:
        store = weakened(super().store(), self._life.broken)
        return cast(SqliteTurnStore, Watched(store, self._hit, journal_point))

    def journey_log(self) -> JourneyLogClient:
        reads = super().journey_log()._reads
        kind = Blind if self._life.broken == "no read-back" else JourneyLogClient
        exchange = StampedExchange(self._life.journey_log_url, self._life.timeout)
        real = kind(exchange, reads=reads, timeout=READ_TIMEOUT)
        return cast(JourneyLogClient, Watched(real, self._hit, write_point))

    def models(self) -> list[LanguageModel]:
        return [WatchedModel(super().models()[0], self._hit)]


def _turns(life: Life) -> FeatureSpec:
    """The turns feature, with its writes settled as quickly as a test needs."""
    settled = life.broken in ("none", "no fence", "leases")
    policy = DeliveryPolicy(
        life.settle if settled else 0.0, deadline=600, poll=0.05, longest_poll=0.4
    )
    return replace(TURNS, wire=partial(wire_turns, policy=policy))


class LifeServer(Server):
    """Sends its port once it listens."""

    def __init__(self, builder: ChaosBuilder, pipe: Connection) -> None:
        application = builder.build()
        config = uvicorn.Config(
            application.asgi,
            port=0,
            log_config=None,
            lifespan="on",
            interface="asgi3",
            ws="websockets-sansio",
            timeout_graceful_shutdown=3,
        )
        super().__init__(config, application, grace=20)
        self._pipe = pipe

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._pipe.send(self.servers[0].sockets[0].getsockname()[1])


def live(life: Life, pipe: Connection) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if life.beside:
        setattr(SqliteEngine, "_lock", _no_lock)  # noqa: B010
    LifeServer(ChaosBuilder(life), pipe).run()


def _no_lock(engine: SqliteEngine) -> None:
    engine._lock_fd = os.open(os.devnull, os.O_RDONLY)


class Worker:
    """The process of a life, seen from outside."""

    def __init__(self, life: Life) -> None:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        self.life = life
        self.process = forked(live, life, theirs)
        theirs.close()
        assert ours.poll(TIMEOUT), "the service did not start"
        try:
            self.port = int(ours.recv())
        except EOFError:
            self.port = 0  # it died on its way up
        ours.close()

    def send(self, number: int) -> None:
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)

    def dead_within(self, seconds: float) -> bool:
        self.process.join(seconds)
        return not self.process.is_alive()

    def end(self, number: int = signal.SIGTERM) -> int | None:
        self.send(number)
        if not self.dead_within(TIMEOUT):
            self.process.kill()
            self.process.join()
        code = self.process.exitcode
        self.process.close()
        return code
