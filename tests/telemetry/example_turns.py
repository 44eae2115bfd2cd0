"""Turns in every state, built without running the pipeline."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from app.adapters.event_log.memory import MemoryTurnLog
from app.core.context import CharacterProgress, Context, PlayerState
from app.core.events import Cancelled, Complete, Failed, Metadata, Token
from app.core.outcome import Intents, PoiIntent, QuestIntent
from app.core.policy import PolicyDecision, Roll
from app.core.results import Change, SubsystemSummary, Usage, Validation
from app.eventlog.writer import LogWriter
from app.ports.clock import Clock
from app.ports.store import Claim, TurnRequest
from app.telemetry.logs import configure_logging
from app.turns.state import TurnState

STORY = "The iron door groans open upon a sleeping dragon."
ACTION = "I whisper the password to the door"


@dataclass
class HandClock:
    """Time that only a test moves."""

    seconds: float = 1_000.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.seconds, monotonic=lambda: self.seconds)


def begun(
    turn_id: str = "turn-1",
    *,
    time: HandClock | None = None,
    endpoint: str = "/turn/stream",
    character_id: str = "hero",
    user_id: str = "player",
    dry_run: bool = False,
) -> TurnState:
    clock = (time or HandClock()).clock()
    request = TurnRequest(
        character_id=character_id,
        user_action=ACTION,
        user_id=user_id,
        request_id=f"request-of-{turn_id}",
        endpoint=endpoint,
        dry_run=dry_run,
    )
    writer = LogWriter(turn_id, MemoryTurnLog(), clock)
    turn = TurnState(Claim(turn_id, 1), request, CharacterProgress(), writer, clock)
    writer.append(Metadata("start"))
    return turn


def streamed(turn_id: str = "turn-1", **options: Any) -> TurnState:
    """Begun, its context read, its story streamed in two pieces within 1.5 s."""
    time = options.setdefault("time", HandClock())
    turn = begun(turn_id, **options)
    turn.context = Context(character_id=turn.request.character_id, player_state=PlayerState())
    turn.decision = PolicyDecision(Roll(True, True), Roll(True, False))
    time.seconds += 0.5
    turn.first_token = time.seconds
    turn.writer.append(Token(STORY[:10], 0))
    turn.writer.append(Token(STORY[10:], 1))
    turn.writer.view.tokens, turn.deltas = 2, 7
    time.seconds += 1.0
    turn.phases.llm_ms, turn.phases.context_ms = 1_400.0, 20.0
    turn.usage = Usage(model="m", input_tokens=300, output_tokens=40, total_tokens=340)
    turn.intents = Intents(
        quest_intent=QuestIntent(action="offer", quest_title=STORY), poi_intent=PoiIntent()
    )
    return turn


WRITTEN = SubsystemSummary(
    quest_change=Change(action="offered", success=True),
    poi_change=Change(action="skipped", success=False, error="this place is already known"),
    narrative_persisted=True,
)


def complete(turn: TurnState, summary: SubsystemSummary = WRITTEN) -> Complete:
    return Complete(turn.turn_id, {}, summary, turn.timing(), turn.usage, Validation())


def failed(error_type: str = "llm_timeout", message: str = "It took too long.") -> Failed:
    return Failed(error_type, message, True, "narrative", partial_narrative=STORY)


def cancelled() -> Cancelled:
    return Cancelled("narrative", STORY)


class Logged:
    """What was logged since, as text and as records."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        for handler in logging.getLogger().handlers:
            handler.flush()
        return self.stream.getvalue()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def phases(self) -> list[str]:
        return [row["stream_phase"] for row in self.records if "stream_phase" in row]


@contextmanager
def logging_to_memory(*, level: str = "INFO", json: bool = True) -> Iterator[Logged]:
    """Leaves standard logging and structlog as they were found."""
    logged, root, ours = Logged(), logging.getLogger(), logging.getLogger("app")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    root.handlers.clear()  # pytest's own handlers format records unscrubbed
    structlog.contextvars.clear_contextvars()
    configure_logging(
        level=level, json=json, service="dm", environment="test", stream=logged.stream
    )
    try:
        yield logged
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()
