"""Spans of turns: one for a turn, each phase, model call and write, none per token.

A span is recorded when it has ended. The context of a turn's own span is in its journalled request, so that
a process that takes the turn over goes on with the same trace. No text of players and models is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from app.core.events import Cancelled, Failed, Terminal
from app.core.tracing import Attribute, Kind, SpanRecord, TraceContext
from app.generation.observe import ModelCalled
from app.telemetry.facts import outcome_of
from app.turns.observe import (
    AnswerReached,
    Observation,
    OutcomeParsed,
    PolicyDecided,
    TurnAdmitted,
    TurnEnded,
    WriteSettled,
    WritesFinished,
    WritesStarted,
)
from app.turns.state import TurnState

_DONE: Final = ("done", "skipped")


@dataclass(slots=True, weakref_slot=True)
class _OpenTurn:
    """`phase`: the one that it is in, since `since`; `mark`: when its latest write had ended."""

    context: TraceContext
    since: float
    phase: str = ""
    of_phase: TraceContext | None = None
    mark: float = 0.0


class TurnSpans:
    """`new_span_id` gives 16 hex digits, `new_context` the context of a trace that begins here."""

    def __init__(
        self,
        record: Callable[[SpanRecord], None],
        new_span_id: Callable[[], str],
        new_context: Callable[[], TraceContext],
        now: Callable[[], float],
    ) -> None:
        self._record = record
        self._new_span_id = new_span_id
        self._new_context = new_context
        self._now = now
        # weak: a turn taken over by another process never ends here
        self._turns: WeakKeyDictionary[TurnState, _OpenTurn] = WeakKeyDictionary()
        self._by_context: WeakValueDictionary[str, _OpenTurn] = WeakValueDictionary()

    def observe(self, observation: Observation) -> None:
        match observation:
            case TurnAdmitted(turn):
                self._admitted(turn)
            case ModelCalled():
                self._called(observation)
            case TurnEnded(turn, event):
                self._ended(turn, event)
            case PolicyDecided(turn) | WritesStarted(turn) | WritesFinished(turn):
                self._step(turn, observation)
            case AnswerReached(turn, phase):
                self._reached(turn, phase)
            case OutcomeParsed(turn, valid):
                self._parsed(turn, valid)
            case WriteSettled():
                self._written(observation)

    # -- phases -----------------------------------------------------------------------------------

    def _admitted(self, turn: TurnState) -> None:
        context = TraceContext.of(turn.request.traceparent)
        if context is None or not context.sampled:
            return
        opened = self._turns[turn] = _OpenTurn(context, self._now())
        self._by_context[context.header] = opened
        if turn.claim.fence == 1:
            self._enter(opened, "context")

    def _step(
        self, turn: TurnState, observation: PolicyDecided | WritesStarted | WritesFinished
    ) -> None:
        if (opened := self._turns.get(turn)) is None:
            return
        self._leave(opened)
        match observation:
            case PolicyDecided():
                self._enter(opened, "generation")
            case WritesStarted():
                self._enter(opened, "writes")

    def _reached(self, turn: TurnState, phase: str) -> None:
        if (opened := self._turns.get(turn)) is not None:
            self._leave(opened)
            self._enter(opened, phase)

    def _parsed(self, turn: TurnState, valid: bool) -> None:
        """A retelling is no phase of its own."""
        opened = self._turns.get(turn)
        if opened is not None and opened.phase == "generation":
            self._leave(opened, None if valid else "llm_response_error")
            if valid:
                self._enter(opened, "validation")

    def _enter(self, opened: _OpenTurn, phase: str) -> None:
        opened.phase, opened.since = phase, self._now()
        opened.mark = opened.since
        opened.of_phase = self._child(opened.context)

    def _leave(self, opened: _OpenTurn, error: str | None = None) -> None:
        if opened.of_phase is not None:
            self._add(opened.phase, opened.of_phase, opened.context, opened.since, error=error)
        opened.phase, opened.of_phase = "", None

    # -- what is called ---------------------------------------------------------------------------

    def _written(self, settled: WriteSettled) -> None:
        if (opened := self._turns.get(settled.turn)) is None or opened.of_phase is None:
            return
        self._add(
            f"write {settled.subsystem}",
            self._child(opened.context),
            opened.of_phase,
            opened.mark,
            {
                "dungeon_master.write.subsystem": settled.subsystem,
                "dungeon_master.write.action": settled.action,
                "dungeon_master.write.outcome": settled.outcome,
            },
            None if settled.outcome in _DONE else settled.outcome,
            kind="client",
        )
        opened.mark = self._now()

    def _called(self, called: ModelCalled) -> None:
        """Also beside turns, as a part of the caller's trace or of a new one."""
        header = called.request.meta.traceparent
        opened = self._by_context.get(header or "")
        parent = (opened.of_phase or opened.context) if opened else TraceContext.of(header)
        context = self._new_context() if parent is None else self._child(parent)
        if not context.sampled:
            return
        error = None if called.outcome == "ok" else called.outcome
        began, attributes = self._now() - called.seconds, _of_call(called)
        self._add(f"chat {called.model}", context, parent, began, attributes, error, kind="client")

    # -- the turn itself --------------------------------------------------------------------------

    def _ended(self, turn: TurnState, event: Terminal) -> None:
        if (opened := self._turns.pop(turn, None)) is None:
            return
        error = event.error_type if isinstance(event, Failed) else None
        self._leave(opened, error)
        caller = TraceContext.of(turn.request.outer_traceparent)
        attributes = _of_turn(turn, event)
        self._add("turn", opened.context, caller, turn.started_at, attributes, error, kind="server")

    def _child(self, parent: TraceContext) -> TraceContext:
        return parent._replace(span_id=self._new_span_id())

    def _add(
        self,
        name: str,
        context: TraceContext,
        parent: TraceContext | None,
        began: float,
        attributes: dict[str, Attribute] | None = None,
        error: str | None = None,
        *,
        kind: Kind = "internal",
    ) -> None:
        ended = max(self._now(), began)
        self._record(SpanRecord(name, context, parent, began, ended, kind, attributes or {}, error))


def _of_turn(turn: TurnState, event: Terminal) -> dict[str, Attribute]:
    request, usage = turn.request, turn.usage
    attributes: dict[str, Attribute] = {
        "dungeon_master.turn.id": turn.turn_id,
        "dungeon_master.turn.kind": request.kind,
        "dungeon_master.turn.outcome": outcome_of(event),
        "dungeon_master.turn.recovered": turn.claim.fence > 1,
        "dungeon_master.request.id": request.request_id,
        "dungeon_master.dry_run": request.dry_run,
        "dungeon_master.narrative.length": turn.writer.view.length,
        "gen_ai.conversation.id": request.character_id or request.exclusive_key,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    if usage.cost_micros is not None:
        attributes["dungeon_master.cost_micros"] = usage.cost_micros
    if isinstance(event, Failed | Cancelled):
        attributes["dungeon_master.turn.phase"] = event.phase
    return attributes


def _of_call(called: ModelCalled) -> dict[str, Attribute]:
    """By the semantic conventions for generative AI."""
    usage, request = called.usage, called.request
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai" if called.api in ("chat", "responses") else called.api,
        "gen_ai.request.model": called.model,
        "gen_ai.response.model": usage.model or called.model,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.output.type": "text" if request.prompt.schema is None else "json",
        "dungeon_master.generation.purpose": request.purpose.value,
    }
    if usage.cached_tokens is not None:
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.cost_micros is not None:
        attributes["dungeon_master.cost_micros"] = usage.cost_micros
    return attributes
