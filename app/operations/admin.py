"""Views for operators, in the shapes of the admin API that came before this service."""

from __future__ import annotations

from typing import Any

from app.core.access import Action, Caller, may
from app.core.context import Context
from app.core.events import stamp
from app.core.fields import limit_from
from app.core.outcome import SCHEMA_VERSION, Intents, InvalidOutcome, parse_outcome
from app.core.record import Recording
from app.errors import TurnNotFound
from app.operations.schemas import AdminTurn, ParsedAnswer, RecentTurns
from app.ports.store import StoredTurn, TurnStore
from app.turns.state import policy_fields

MAX_SHOWN_NARRATIVE = 2000


class AdminService:
    def __init__(self, store: TurnStore) -> None:
        self._store = store

    async def turn(self, turn_id: str, caller: Caller) -> AdminTurn:
        """One turn with its recording. Raises `TurnNotFound`."""
        stored = await self._store.turn(turn_id, recording=True)
        if stored is None or not may(caller, Action.MODERATE, stored.resource):
            raise TurnNotFound
        return _shown(stored)

    async def recent_turns(self, character_id: str, limit: str, caller: Caller) -> RecentTurns:
        """`limit` as it stands in the query. Raises `InvalidLimit`."""
        number = limit_from(limit)
        recent = await self._store.recent_turns(character_id, number)
        turns = [turn for turn in recent if may(caller, Action.MODERATE, turn.resource)]
        return RecentTurns(
            character_id=character_id,
            turns=[_shown(turn) for turn in turns],
            total_count=len(turns),
            limit=number,
        )


def parse_llm(text: str) -> ParsedAnswer:
    """A model's answer as the service parses it."""
    try:
        outcome = parse_outcome(text)
    except InvalidOutcome as error:
        return ParsedAnswer(
            is_valid=False,
            narrative=None,
            has_outcome=False,
            error_type=error.kind,
            error_details=error.details,
            intents_summary=None,
            schema_version=SCHEMA_VERSION,
        )
    return ParsedAnswer(
        is_valid=True,
        narrative=outcome.narrative,
        has_outcome=True,
        error_type=None,
        error_details=None,
        intents_summary=_actions(outcome.intents),
        schema_version=SCHEMA_VERSION,
    )


def _actions(intents: Intents) -> dict[str, str]:
    parts = {
        "quest": intents.quest_intent,
        "combat": intents.combat_intent,
        "poi": intents.poi_intent,
        "location": intents.location_intent,
    }
    return {name: (part.action if part else None) or "none" for name, part in parts.items()}


def _shown(stored: StoredTurn) -> AdminTurn:
    result, recording = stored.result or {}, stored.recording or Recording(user_action="")
    narrative = result.get("narrative") or ""
    error = result.get("error")
    return AdminTurn(
        turn_id=stored.turn_id,
        character_id=stored.character_id,
        status=stored.status,
        timestamp=stamp(stored.created_at),
        user_action=stored.request.get("user_action"),
        context_snapshot=_snapshot(recording.context),
        policy_decisions=policy_fields(recording.decision) if recording.decision else None,
        llm_narrative=narrative[:MAX_SHOWN_NARRATIVE],
        llm_intents=_llm_intents(recording),
        journey_log_writes=result.get("subsystem_summary"),
        errors=[] if error is None else [error],
        latency_ms=(result.get("timing") or {}).get("total_duration_ms"),
        redacted=len(narrative) > MAX_SHOWN_NARRATIVE,
    )


def _snapshot(context: Context | None) -> dict[str, Any] | None:
    if context is None:
        return None
    combat = context.active_combat
    return {
        "status": context.player_state.status,
        "location": context.player_state.location.model_dump(),
        "has_active_quest": context.quest is not None,
        "combat_turn": None if combat is None else combat.turn,
        "recent_turns": len(context.narrative.recent_turns),
        "places": len(context.world.pois_sample),
    }


def _llm_intents(recording: Recording) -> Intents | None:
    """The intents as the model wrote them, before they were normalised."""
    try:
        outcome = parse_outcome("".join(delta for read in recording.reads for delta in read))
    except InvalidOutcome:
        return None
    return outcome.intents
