"""The adapters that processes on one PostgreSQL share: signals, the event log, limits, cached
answers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from urllib.parse import parse_qsl, urlsplit

import structlog

from app.adapters.answers.memory import MemoryAnswers
from app.adapters.event_log.memory import MemoryEventLog
from app.adapters.event_log.postgres import PostgresLogChannel
from app.adapters.event_log.shared import SharedEventLog
from app.adapters.limits.memory import MemoryLimiter
from app.adapters.limits.postgres import PostgresLimiter
from app.adapters.signals.postgres import PostgresSignals
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.listening import PostgresListener
from app.adapters.store.postgres.store import PostgresTurnStore
from app.bootstrap.carried import Carried
from app.feature import Feature
from app.ports.answers import Answers
from app.ports.clock import Clock
from app.ports.event_log import EventLog
from app.ports.limits import Limiter
from app.ports.signals import NoSignals, Signal, Signals
from app.settings import StoreSettings

log = structlog.get_logger(__name__)

LOCK_LOST = 70  # exit code


@dataclass(frozen=True, slots=True)
class Shared:
    """The shared adapters of a process, or their counterparts in memory where it is alone.
    `lifecycle` starts before all features and stops after them."""

    signals: Signals
    event_log: EventLog
    limiter: Limiter
    answers: Answers
    lifecycle: Feature


def alone(clock: Clock) -> Shared:
    """The parts of a process that has its journal for itself."""
    limiter, answers = MemoryLimiter(clock.now), MemoryAnswers(clock.monotonic)
    return Shared(NoSignals(), MemoryEventLog(), limiter, answers, Feature())


def end_process(reason: str) -> None:
    """End the process at once: another one may be doing its work."""
    log.critical("process_ends", reason=reason)
    print(f"dungeon-master: {reason}", file=sys.stderr, flush=True)
    os._exit(LOCK_LOST)


def on_postgres(settings: StoreSettings, store: PostgresTurnStore, clock: Clock) -> Shared:
    """The parts of a process that shares a database with others."""
    database = Database(settings.store_url)
    engine = PostgresEngine(database, "log", 2)
    listener = PostgresListener(database)
    signals = PostgresSignals(engine, listener, store.owner)
    space = space_of(settings.store_url)
    redis = settings.redis_url
    if redis is None:
        answers = MemoryAnswers(clock.monotonic)
        channel = PostgresLogChannel(engine, store.engine, listener, store.owner)
        carried = Carried(channel, PostgresLimiter(store.engine), answers)
    else:
        otherwise = MemoryLimiter(clock.now) if settings.limits_fail_open else None
        on_redis = import_module("app.bootstrap.on_redis").on_redis
        carried = on_redis(redis, space, store.owner, otherwise)
    event_log = SharedEventLog(carried.channel, store)
    store.on_orphans = lambda: signals.deliver(Signal("orphaned"))

    async def start() -> None:
        listener.start()
        event_log.start()

    async def stop() -> None:
        await event_log.aclose()
        await signals.aclose()
        await listener.aclose()
        await engine.aclose()
        for close in carried.closers:
            await close()

    lifecycle = Feature(on_start=(start,), on_stop=(stop,), health=carried.health)
    return Shared(signals, event_log, carried.limiter, carried.answers, lifecycle)


def space_of(store_url: str) -> str:
    """A name for the journal: the same wherever the same one is meant, whoever asks for it."""
    parts = urlsplit(store_url)
    schema = dict(parse_qsl(parts.query)).get("search_path", "")
    where = f"{parts.hostname}:{parts.port or 5432}{parts.path}?{schema}"
    return blake2b(where.encode(), digest_size=8).hexdigest()
