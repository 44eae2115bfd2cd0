"""How a feature joins the service: it declares what it adds, and bootstrap puts it in place.

A feature's `wiring` module holds one `FeatureSpec`. Its `wire` is given the `Platform`, which knows
ports and shared services, and returns what the feature adds. Features are wired in order, so that a
later one may use the services of an earlier one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from app.core.breaker import CircuitState
from app.doctor.at_start import Found
from app.errors import DungeonMasterError
from app.generation.fair_limiter import FairLimiter
from app.generation.service import GenerationService
from app.ports.answers import Answers
from app.ports.clock import Clock
from app.ports.contents import Contents
from app.ports.conversations import Conversations
from app.ports.event_log import EventLog
from app.ports.history import TurnJournal
from app.ports.hub import MessageHub
from app.ports.journey_log import JourneyLog
from app.ports.limits import Limiter
from app.ports.moderation import Moderator
from app.ports.outbox import Outbox
from app.ports.signals import Signals
from app.ports.tables import TableStore
from app.settings import SettingsGroup, SharedSettings
from app.telemetry.metrics import Metrics
from app.telemetry.workers import WorkerPlace
from app.web.answer_headers import AnswerHeaders
from app.web.auth import Tickets
from app.web.routing import Operation
from app.web.services import Services
from app.web.transports.readers import Readers

Group = TypeVar("Group", bound=SettingsGroup)
Work = Callable[[], Awaitable[Any]]
Observer = Callable[[Any], None]
"""Sees what happens, as facts of many types, and picks its own. Must not raise and must not wait."""
Probe = Callable[[], Awaitable[bool]]


class Gauge(NamedTuple):
    """A number that is read when metrics are scraped; `name` without the common prefix."""

    name: str
    about: str
    read: Callable[[], float]


class Drain(Protocol):
    """Work that must end before the process does."""

    @property
    def running(self) -> int:
        """How much of it is under way."""
        ...

    def refuse_new(self) -> None:
        """Take no new work; called from a signal handler."""
        ...

    async def finish(self, seconds: float) -> int:
        """Wait for what is under way; how much of it is left after `seconds`."""
        ...


@dataclass(frozen=True, slots=True)
class Feature:
    """The parts that a feature adds to the service.

    `services` are found by their type. `headers` go with all answers below a path. `on_start` is awaited
    before requests are served, in the order of the features. `background` runs as long as the service and
    is cancelled at its end. `housekeeping` is called every few seconds. `on_stop` is awaited at the end,
    last feature first. `health` names probes that `GET /health` shows as components.
    """

    operations: tuple[Operation, ...] = ()
    services: tuple[object, ...] = ()
    headers: tuple[AnswerHeaders, ...] = ()
    observers: tuple[Observer, ...] = ()
    gauges: tuple[Gauge, ...] = ()
    on_start: tuple[Work, ...] = ()
    background: tuple[Work, ...] = ()
    housekeeping: tuple[Work, ...] = ()
    on_stop: tuple[Work, ...] = ()
    drains: tuple[Drain, ...] = ()
    health: Mapping[str, Probe] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The state of the model and of journey-log, for health and the log line at the start.

    `model_server`: what was found out about it at the start. `journey_log_available` asks it;
    `journey_log_failing`: the latest call failed.
    """

    model: str
    model_context_tokens: int | None
    model_server: Callable[[], Found]
    model_available: Probe
    journey_log: str
    journey_log_available: Probe
    journey_log_failing: Callable[[], bool]
    journey_log_embedded: bool
    circuits: Callable[[], dict[str, CircuitState]]


class Observers:
    """All observers of all features."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Let `observer` see everything from now on."""
        self._observers.append(observer)

    def __call__(self, observation: object) -> None:
        for observer in self._observers:
            observer(observation)


@dataclass(frozen=True, slots=True)
class Platform:
    """The parts of the service that a feature may use."""

    settings: SharedSettings
    clock: Clock
    store: TurnJournal
    conversations: Conversations
    contents: Contents
    tables: TableStore
    outbox: Outbox
    hub: MessageHub | None
    event_log: EventLog
    journey_log: JourneyLog
    generation: GenerationService
    model_slots: FairLimiter
    limiter: Limiter
    answers: Answers
    signals: Signals
    metrics: Metrics
    worker: WorkerPlace | None
    readers: Readers
    tickets: Tickets
    upstreams: Upstreams
    observe: Observers
    services: Services
    health: dict[str, Probe]
    word_moderator: Callable[[Sequence[str]], Moderator]
    """Allows what has none of the given words and phrases."""
    secret: Callable[[str], str]
    """A random value, drawn once per database and name."""

    def settings_of(self, group: type[Group]) -> Group:
        """The feature's own settings."""
        if not isinstance(self.settings, group):
            raise LookupError(f"{group.__name__} is not among the settings")
        return self.settings


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """`settings`: the group that is read for the feature; None: it has none of its own."""

    name: str
    wire: Callable[[Platform], Feature]
    settings: type[SettingsGroup] | None = None


async def probed(probe: Probe) -> bool:
    """Whether the component answers; an error means no."""
    try:
        return await probe()
    except DungeonMasterError:
        return False
