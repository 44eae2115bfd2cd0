"""Readings of a turn that logs and metrics share."""

from __future__ import annotations

from typing import Literal, assert_never

from app.core.events import Cancelled, Complete, Failed, Terminal
from app.core.policy import PolicyDecision, Roll
from app.core.results import Change, SubsystemSummary

TurnOutcome = Literal["complete", "error", "cancelled"]
RollResult = Literal["triggered", "skipped", "ineligible"]


def outcome_of(event: Terminal) -> TurnOutcome:
    match event:
        case Complete():
            return "complete"
        case Failed():
            return "error"
        case Cancelled():
            return "cancelled"
        case _:
            assert_never(event)


def rolls(decision: PolicyDecision) -> dict[str, RollResult]:
    return {"quest": _result(decision.quest), "poi": _result(decision.poi)}


def _result(roll: Roll) -> RollResult:
    if not roll.eligible:
        return "ineligible"
    return "triggered" if roll.passed else "skipped"


def changes(summary: SubsystemSummary) -> dict[str, Change]:
    """The changes beside the narrative, by subsystem."""
    return {
        "quest": summary.quest_change,
        "combat": summary.combat_change,
        "poi": summary.poi_change,
    }


def narrative_action(summary: SubsystemSummary) -> str:
    if summary.narrative_persisted:
        return "persisted"
    return "none" if summary.dry_run else "failed"
