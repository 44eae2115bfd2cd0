"""Log lines of a turn: one for each phase, and one for its end.

Narrative and action text is never logged, only its length.
"""

from __future__ import annotations

import hashlib
from typing import Any, assert_never
from weakref import WeakKeyDictionary

import structlog

from app.core.events import Cancelled, Complete, Failed, Terminal
from app.core.outcome import Intents
from app.core.results import SubsystemSummary
from app.eventlog.observe import ReaderClosed, ReaderOpened
from app.generation.observe import ModelCalled
from app.ports.outbox import EventAdded
from app.ports.tables import TableChanged
from app.telemetry.facts import changes, narrative_action, outcome_of, rolls
from app.telemetry.redaction import safe_text
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

_stream_log = structlog.get_logger("app.stream")
_turn_log = structlog.get_logger("app.turn")


class StreamLifecycleLogger:
    """Logs `stream_phase`: start, token_streaming, parse_complete, writes_start, writes_complete,
    client_disconnect, and complete, error or cancelled.
    """

    def __init__(self) -> None:
        # weak: a turn taken over by another process never ends here
        self._written: WeakKeyDictionary[TurnState, set[str]] = WeakKeyDictionary()

    def observe(self, observation: Observation) -> None:
        match observation:
            case TurnAdmitted(turn):
                _phase(turn, "start", endpoint=turn.request.endpoint)
                for warning in turn.request.budget_warnings:
                    _stream_log.warning("budget_nearly_used", **_whose(turn), **warning)
            case TokensStreamed(turn):
                _phase(turn, "token_streaming", **_counts(turn))
            case OutcomeParsed(turn, valid):
                fields = {**_counts(turn), "is_valid": valid, "duration_ms": _elapsed(turn)}
                _phase(turn, "parse_complete", **fields)
            case IntentsRepaired(turn, _, done):
                _phase(turn, "intents_repaired", is_valid=done)
            case WritesStarted(turn):
                _phase(turn, "writes_start")
            case WriteSettled(turn, subsystem, _, outcome):
                if outcome == "done":
                    self._written.setdefault(turn, set()).add(subsystem)
            case WritesFinished(turn):
                _phase(turn, "writes_complete", **self._flags(turn), duration_ms=_elapsed(turn))
            case TurnEnded(turn, event):
                self._ended(turn, event)
            case ReaderClosed():
                _reader_closed(observation)
            case AnswerReached() | TurnPromoted() | PolicyDecided():
                pass
            case ModelCalled() | ReaderOpened() | EventAdded() | TableChanged():
                pass
            case _:
                assert_never(observation)

    def _ended(self, turn: TurnState, event: Terminal) -> None:
        fields = {**_counts(turn), "total_tokens": turn.deltas, "duration_ms": _elapsed(turn)}
        match event:
            case Complete():
                fields["duration_ms"] = event.timing.total_duration_ms
                _phase(turn, "complete", **fields, **self._flags(turn))
            case Failed(error_type, message):
                error = {"error_type": error_type, "error_message": safe_text(message)}
                _phase(turn, "error", **fields, **error, at_phase=event.phase)
            case Cancelled(phase):
                _phase(turn, "cancelled", **fields, at_phase=phase)
            case _:
                assert_never(event)
        self._written.pop(turn, None)

    def _flags(self, turn: TurnState) -> dict[str, bool]:
        written = self._written.get(turn, set())
        return {
            f"{name}_written": name in written for name in ("quest", "combat", "poi", "narrative")
        }


def _phase(turn: TurnState, phase: str, **fields: Any) -> None:
    write = _stream_log.warning if phase == "error" else _stream_log.info
    write("stream", stream_phase=phase, **_whose(turn), **fields)


def _reader_closed(closed: ReaderClosed) -> None:
    if closed.disconnected:
        _stream_log.info(
            "stream",
            stream_phase="client_disconnect",
            turn_id=closed.turn_id,
            transport=closed.transport,
            last_event=closed.seen,
        )


def _whose(turn: TurnState) -> dict[str, str]:
    """Named here, since a turn is admitted before its task has bound them."""
    return {
        "turn_id": turn.turn_id,
        "request_id": turn.request.request_id,
        "character_id": turn.request.character_id,
    }


def _counts(turn: TurnState) -> dict[str, Any]:
    view = turn.writer.view
    return {"token_count": view.tokens, "narrative_length": view.length}


def _elapsed(turn: TurnState) -> float:
    return round((turn.clock.monotonic() - turn.started) * 1000, 3)


# -- one line per turn ----------------------------------------------------------------------------


class TurnLogger:
    """Logs a share of the ended turns, and every turn with an error.

    The same turn is chosen in every process: the choice is a hash of its id.
    """

    def __init__(self, sampling_rate: float) -> None:
        self._rate = sampling_rate

    def observe(self, observation: Observation) -> None:
        if not isinstance(observation, TurnEnded):
            return
        turn, event = observation.turn, observation.event
        errors = _errors(event)
        if errors or _drawn(turn.turn_id) < self._rate:
            write = _turn_log.warning if errors else _turn_log.info
            write("turn", log_type="turn", **_whose(turn), **_summary(turn, event), errors=errors)


def _drawn(turn_id: str) -> float:
    """Uniform in [0, 1)."""
    return int(hashlib.sha256(turn_id.encode()).hexdigest()[:8], 16) / 2**32


def _summary(turn: TurnState, event: Terminal) -> dict[str, Any]:
    decision = turn.decision
    return {
        "outcome": outcome_of(event),
        "endpoint": turn.request.endpoint,
        "dry_run": turn.request.dry_run,
        "action_length": len(turn.request.user_action),
        **_counts(turn),
        "subsystem_actions": _actions(turn, event),
        "policy_decisions": None if decision is None else rolls(decision),
        "latencies_ms": _latencies(turn, event),
        "intent_summary": None if turn.intents is None else _intended(turn.intents),
    }


def _actions(turn: TurnState, event: Terminal) -> dict[str, str]:
    if not isinstance(event, Complete):
        return {_named(subsystem): "written" for subsystem in turn.writer.view.committed}
    if not _belongs_to_story(event):
        return {}
    summary = event.subsystem_summary
    done = {subsystem: change.action for subsystem, change in changes(summary).items()}
    return {**done, _named("narrative"): narrative_action(summary)}


def _belongs_to_story(event: Complete) -> bool:
    """Whether anything of it was to be written to journey-log."""
    return event.chat is None and event.content is None


def _named(subsystem: str) -> str:
    """A field called `narrative` is taken for story text and loses its value."""
    return "narrative_write" if subsystem == "narrative" else subsystem


def _latencies(turn: TurnState, event: Terminal) -> dict[str, float | None]:
    timing = event.timing if isinstance(event, Complete) else turn.timing()
    stages = {field.removesuffix("_ms"): spent for field, spent in turn.phases}
    return {
        "total": timing.total_duration_ms,
        "time_to_first_token": timing.time_to_first_token_ms,
        **stages,
    }


def _intended(intents: Intents) -> dict[str, str | None]:
    parts = {
        "quest": intents.quest_intent,
        "combat": intents.combat_intent,
        "poi": intents.poi_intent,
        "location": intents.location_intent,
    }
    return {name: None if part is None else part.action for name, part in parts.items()}


def _errors(event: Terminal) -> list[dict[str, str]]:
    match event:
        case Failed(error_type, message):
            return [{"type": error_type, "message": safe_text(message)}]
        case Complete():
            return _failed_writes(event.subsystem_summary) if _belongs_to_story(event) else []
        case Cancelled():
            return []
        case _:
            assert_never(event)


def _failed_writes(summary: SubsystemSummary) -> list[dict[str, str]]:
    failed = [
        {"type": f"{subsystem}_write", "message": safe_text(change.error or "failed")}
        for subsystem, change in changes(summary).items()
        if change.success is False and change.action != "skipped"
    ]
    if narrative_action(summary) == "failed":
        failed.append(
            {"type": "narrative_write", "message": safe_text(summary.narrative_error or "failed")}
        )
    return failed
