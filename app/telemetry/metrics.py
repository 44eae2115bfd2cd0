"""Counts what happens, for Prometheus, for the older JSON form and for the health check."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from typing import Final, assert_never

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from app import __version__
from app.core.events import Complete, Failed, Terminal
from app.core.money import MICROS
from app.core.results import SubsystemSummary
from app.eventlog.observe import ReaderClosed, ReaderOpened
from app.generation.observe import ModelCalled
from app.ports.clock import Clock
from app.ports.outbox import EventAdded
from app.ports.tables import TableChanged
from app.telemetry.facts import changes, outcome_of, rolls
from app.telemetry.instruments import OTHER, Window
from app.telemetry.metric_families import PREFIX, MetricFamilies, legacy_report
from app.telemetry.report import MetricsReport, RecentRequests
from app.turns.observe import (
    AnswerReached,
    IntentsRepaired,
    Observation,
    OutcomeParsed,
    PolicyDecided,
    TokensStreamed,
    TurnAdmitted,
    TurnEnded,
    TurnPromoted,
    WriteSettled,
    WritesFinished,
    WritesStarted,
)
from app.turns.state import TurnState

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """All numbers of one process; nothing global.

    Everything but `render`, `legacy` and `window` must be called on the event loop's thread.
    """

    def __init__(self, *, version: str = __version__, clock: Clock | None = None) -> None:
        self._now = (clock or Clock()).monotonic
        self._began = self._now()
        self._families = MetricFamilies()
        self._window = Window(self._now)
        self._open_streams = 0
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.track("streams_active", "Open streams.", lambda: self._open_streams)
        self.registry = CollectorRegistry()
        self.registry.register(_Exporter(self._families, self._gauges, version))
        ProcessCollector(registry=self.registry)
        self.record_gap: Callable[[float], None] = self._families.gaps.add
        """Takes the seconds between two upstream reads; bound directly, since it is called often."""

    def track(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Export what `read` returns at scrape time; the last `read` of a name counts."""
        self._gauges[name] = (about, read)

    def journey_log_call(self, operation: str, status: str, seconds: float) -> None:
        self._families.journey_log_calls.add(operation, status)
        self._families.journey_log_seconds.add(seconds, operation)

    def http_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the template of the path, "other" for unknown ones; `status` 0: no answer."""
        method = method if method in _METHODS else OTHER
        code = str(status) if 100 <= status <= 599 else "none"
        self._families.requests.add(method, route, code)
        self._families.request_seconds.add(seconds, method, route)
        self._window.add(failed=status >= 500, seconds=seconds)

    # -- reading ----------------------------------------------------------------------------------

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics when `accept` asks for it."""
        if _wants_openmetrics(accept):
            body = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
            return bytes(body), openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def legacy(self) -> MetricsReport:
        """The numbers as JSON."""
        uptime = round(self._now() - self._began, 2)
        return MetricsReport(uptime_seconds=uptime, **legacy_report(self._families))

    def window(self) -> RecentRequests:
        """The requests of the last 60 s."""
        return self._window.report()

    # -- the facts of turns -----------------------------------------------------------------------

    def observe(self, observation: Observation) -> None:
        families = self._families
        match observation:
            case PolicyDecided(_, decision):
                for kind, result in rolls(decision).items():
                    families.rolls.add(kind, result)
            case ModelCalled():
                self._called(observation)
            case OutcomeParsed(_, valid):
                self._parsed(valid)
            case IntentsRepaired(_, model, done):
                families.repairs.add(model, "repaired" if done else "dropped")
            case WriteSettled(_, subsystem, action, result):
                families.writes.add(subsystem, action, result)
            case TurnEnded(turn, event):
                self._ended(turn, event)
            case ReaderOpened(transport):
                self._open_streams += 1
                families.streams_started.add(transport)
            case ReaderClosed(transport, _, _, disconnected):
                self._open_streams -= 1
                closed = (
                    families.streams_disconnected if disconnected else families.streams_completed
                )
                closed.add(transport)
            case TurnAdmitted(turn):
                for warning in turn.request.budget_warnings:
                    families.near_budget.add(warning["of"], warning["unit"])
            case TokensStreamed() | WritesStarted() | WritesFinished():
                pass
            case AnswerReached() | TurnPromoted() | EventAdded() | TableChanged():
                pass
            case _:
                assert_never(observation)

    def _called(self, called: ModelCalled) -> None:
        families, usage, model = self._families, called.usage, called.model
        if usage.cost_micros is not None:
            families.costs.add(model, called.request.purpose, by=usage.cost_micros / MICROS)
        elif usage.total_tokens:
            families.unpriced.add(model, by=usage.total_tokens)
        families.model_calls.add(called.api, model, called.outcome)
        families.model_seconds.add(called.seconds, called.api, model)

    def _parsed(self, valid: bool) -> None:
        self._families.parsed.add("true" if valid else "false")
        if not valid:
            self._families.parse_failures.add()

    def _ended(self, turn: TurnState, event: Terminal) -> None:
        families = self._families
        families.turns.add(turn.request.endpoint, outcome_of(event))
        match event:
            case Failed(error_type):
                families.turn_errors.add(error_type)
            case Complete():
                self._changed(event.subsystem_summary)
        for field, milliseconds in turn.phases:
            if milliseconds:
                families.phases.add(milliseconds / 1000, field.removesuffix("_ms"))
        families.model_tokens.add("input", by=turn.usage.input_tokens)
        families.model_tokens.add("output", by=turn.usage.output_tokens)
        if turn.context is not None:  # before that, no stream has begun
            self._streamed(turn, event)

    def _streamed(self, turn: TurnState, event: Terminal) -> None:
        timing = event.timing if isinstance(event, Complete) else turn.timing()
        self._families.stream_tokens.add(timing.total_tokens)
        self._families.stream_seconds.add(timing.total_duration_ms / 1000)
        if timing.time_to_first_token_ms is not None:
            self._families.first_token.add(timing.time_to_first_token_ms / 1000)

    def _changed(self, summary: SubsystemSummary) -> None:
        for subsystem, change in changes(summary).items():
            if change.success or change.action == "skipped":
                self._families.deltas.add(subsystem, change.action)
        if summary.narrative_persisted:
            self._families.deltas.add("narrative", "persisted")


class _Exporter(Collector):
    def __init__(
        self,
        families: MetricFamilies,
        gauges: dict[str, tuple[str, Callable[[], float]]],
        version: str,
    ) -> None:
        self._families = families
        self._gauges = gauges
        self._build = {"version": version, "python": platform.python_version()}

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}build", "The running version.", value=self._build)
        for name, (about, read) in list(self._gauges.items()):
            yield GaugeMetricFamily(f"{PREFIX}{name}", about, value=_read(read))
        yield from self._families.families()


def _read(read: Callable[[], float]) -> float:
    try:
        return float(read())
    except Exception:  # one gauge that cannot be read must not cost the whole scrape
        return float("nan")


def _wants_openmetrics(accept: str) -> bool:
    for choice in accept.lower().split(","):
        media, *parameters = [part.strip() for part in choice.split(";")]
        refused = any(part.replace(" ", "") in ("q=0", "q=0.0") for part in parameters)
        if media == "application/openmetrics-text" and not refused:
            return True
    return False
