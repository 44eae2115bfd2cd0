"""From normalised intents to the writes that journey-log will see, with bodies frozen.

The order is quest → combat → POI → narrative. Every write carries a marker: a time with microsecond
precision that journey-log keeps, by which the write can be recognised when its answer was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from app.core.context import CharacterProgress, Context, Quest, parse_time
from app.core.opening import OPENING_ACTION
from app.core.outcome import CombatIntent, Intents, PoiIntent, QuestIntent
from app.core.policy import PolicyDecision
from app.core.results import Change, Subsystem, SubsystemSummary
from app.core.storable import MAX_COMBAT_BYTES, storable
from app.core.tables import NewLine
from app.core.write_bodies import new_combat, next_turn, quest_body

# journey-log's own limits, in code points.
MAX_NARRATIVE = 32_000
MAX_ACTION = 8_000
LATEST_MARKER = 253_402_000_000 * 1_000_000  # µs: the last days of the year 9999
MARKER_STEP = 1_000  # µs between the markers of one turn's writes

_DONE_VERBS = {
    "offer": "offered",
    "complete": "completed",
    "abandon": "abandoned",
    "advance": "advanced",
    "start": "started",
    "continue": "continued",
    "end": "ended",
    "create": "create",
    "reference": "reference",
}


class PlannedWrite(BaseModel):
    """One call to journey-log. `path` is relative to the character; `marker` is in microseconds."""

    model_config = ConfigDict(frozen=True)

    subsystem: Subsystem
    action: str
    method: Literal["PUT", "POST", "DELETE"]
    path: str
    body: dict[str, Any] | None
    marker: int
    character_id: str | None = None
    user_id: str | None = None
    """Of another player, whose character is meant; None: the turn's own."""
    replaces: str | None = None
    """For a DELETE: `updated_at` of the quest that is meant."""
    unwritten: NewLine | None = None
    """What is said at the table, with the error behind it, where the write fails."""


class Journey(NamedTuple):
    """The part of one character in a turn that several take. `unwritten`: see `PlannedWrite`."""

    user_id: str
    character_id: str
    user_action: str
    unwritten: NewLine | None = None

    @property
    def whose(self) -> tuple[str, str]:
        """User and character: two users may name one character, and only one of them has it."""
        return self.user_id, self.character_id


class WritePlan(BaseModel):
    """`summary` holds what is decided without a write: nothing to do, skipped, kept by us."""

    model_config = ConfigDict(frozen=True)

    writes: tuple[PlannedWrite, ...]
    summary: SubsystemSummary
    ends: Quest | None = None
    """The active quest, where the plan completes or abandons it."""
    poi_name: str | None = None
    """Case-folded name of the place that the plan writes."""


def first_marker(now: float, progress: CharacterProgress, context: Context) -> int:
    """Microseconds: after now, this character's last marker and everything its context shows."""
    # A time at the end of what a date can hold leaves no room behind it.
    newest = min(round(context.newest_timestamp * 1_000_000), LATEST_MARKER)
    return max(round(now * 1_000_000), progress.marker + MARKER_STEP, newest + 1)


def parse_marker(stamp: str | None) -> int:
    """Microseconds of an ISO 8601 time; 0 for anything else."""
    return round(parse_time(stamp or "") * 1_000_000)


def marker_time(marker: int) -> str:
    seconds, micros = divmod(marker, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{moment.isoformat()}.{micros:06d}Z"


def place_to_create(intents: Intents) -> str | None:
    """Case-folded name of the place a normalised outcome wants to create."""
    poi = intents.poi_intent
    return poi.name.strip().casefold() if poi and poi.action == "create" and poi.name else None


def plan_writes(
    *,
    user_action: str,
    narrative: str,
    intents: Intents,
    decision: PolicyDecision,
    context: Context,
    known_place: bool,
    marker: int,
    turn_id: str,
) -> WritePlan:
    """Derive the writes of one turn. `known_place`: the POI's name was written before.

    For a Dead character only the narrative is written, whatever the model says; without a character
    nothing, since the story is kept elsewhere.
    """
    if not context.character_id:
        return WritePlan(writes=(), summary=SubsystemSummary(narrative_persisted=True))
    planner = _Planner(context, decision, marker, turn_id)
    if not context.is_dead:
        planner.quest(intents.quest_intent)
        planner.combat(intents.combat_intent)
        planner.poi(intents.poi_intent, known_place)
    planner.narrative(user_action, narrative)
    return WritePlan(
        writes=tuple(planner.writes),
        summary=planner.summary,
        ends=planner.ends,
        poi_name=place_to_create(intents) if planner.writes_poi else None,
    )


def shared(
    plan: WritePlan, journeys: Sequence[Journey], own: tuple[str, str], narrative: str, marker: int
) -> WritePlan:
    """The plan of a turn that several characters take: the narrative goes to each of them, with what they
    have done. `own`: whose the plan is; one without writes is of a character that could not be read.
    `marker`: of its first write."""
    writes, planned = [], None
    for write in plan.writes:
        if write.subsystem == "narrative" and write.body is not None:
            planned = next((one for one in journeys if one.whose == own), None)
            if planned is not None:
                body = {**write.body, "user_action": planned.user_action}
                given = {"body": body, "unwritten": planned.unwritten}
                write = write.model_copy(update=given)
        writes.append(write)
    for one in journeys:
        if one is not planned:
            at = marker + MARKER_STEP * len(writes)
            writes.append(_narrative(one.user_action, narrative, at, one))
    return plan.model_copy(update={"writes": tuple(writes)})


def _narrative(action: str, narrative: str, marker: int, whose: Journey | None) -> PlannedWrite:
    texts = {"user_action": action[:MAX_ACTION] or OPENING_ACTION, "ai_response": narrative}
    return PlannedWrite(
        subsystem="narrative",
        action="create",
        method="POST",
        path="/narrative",
        body={**texts, "timestamp": marker_time(marker)},
        marker=marker,
        character_id=whose and whose.character_id,
        user_id=whose and whose.user_id,
        unwritten=whose and whose.unwritten,
    )


def dry_run_summary(plan: WritePlan) -> SubsystemSummary:
    """The summary of a turn that writes nothing: each change with its action and no result."""
    summary = plan.summary.model_copy(update={"dry_run": True})
    for write in plan.writes:
        if write.subsystem != "narrative":
            summary = summary.with_write(write.subsystem, Change(action=write.action))
    for name in ("quest_change", "combat_change", "poi_change"):
        change = getattr(summary, name).model_copy(update={"success": None, "error": None})
        summary = summary.model_copy(update={name: change})
    return summary


class _Planner:
    def __init__(
        self, context: Context, decision: PolicyDecision, marker: int, turn_id: str
    ) -> None:
        self._context = context
        self._decision = decision
        self._marker = marker
        self._turn_id = turn_id
        self.writes: list[PlannedWrite] = []
        self.summary = SubsystemSummary()
        self.ends: Quest | None = None

    @property
    def writes_poi(self) -> bool:
        return any(write.subsystem == "poi" for write in self.writes)

    def _next_marker(self) -> int:
        return self._marker + MARKER_STEP * len(self.writes)

    def _write(
        self,
        subsystem: Subsystem,
        verb: str,
        method: Literal["PUT", "POST", "DELETE"],
        path: str,
        body: dict[str, Any] | None,
        replaces: str | None = None,
    ) -> None:
        self.writes.append(
            PlannedWrite(
                subsystem=subsystem,
                action=_DONE_VERBS.get(verb, verb),
                method=method,
                path=path,
                body=body,
                marker=self._next_marker(),
                replaces=replaces,
            )
        )

    def _settled(self, subsystem: Subsystem, action: str, error: str | None = None) -> None:
        """A change that needs no write: kept by us, or skipped with a reason."""
        change = Change(action=action, success=error is None, error=error)
        self.summary = self.summary.with_write(subsystem, change)

    def quest(self, intent: QuestIntent | None) -> None:
        quest = self._context.quest
        active = quest is not None
        meant = quest.updated_at if quest else None
        match intent.action if intent else None:
            case "offer" if self._decision.quest.passed and not active and intent:
                body = quest_body(intent, marker_time(self._next_marker()))
                self._write("quest", "offer", "PUT", "/quest", body)
            case ("complete" | "abandon") as verb if active:
                self._write("quest", verb, "DELETE", "/quest", None, meant)
                self.ends = quest
            case "advance" if active:
                self._settled("quest", "advanced")

    def combat(self, intent: CombatIntent | None) -> None:
        if intent is None:
            return
        current = self._context.active_combat
        stamp = marker_time(self._next_marker())
        match intent.action:
            case "start" if current is None and intent.enemies:
                state: dict[str, Any] | None = new_combat(self._turn_id, intent.enemies, stamp)
            case "continue" if current is not None:
                state = next_turn(current, intent.enemies or [], stamp)
            case "end" if current is not None:
                state = None
            case _:
                return
        body = storable({"combat_state": state}, MAX_COMBAT_BYTES)
        self._write("combat", intent.action, "PUT", "/combat", body)

    def poi(self, intent: PoiIntent | None, known_place: bool) -> None:
        match intent.action if intent else None:
            case "reference":
                self._settled("poi", "reference")
            case "create" if self._decision.poi.passed and intent:
                if known_place or self._shown(intent):
                    self._settled("poi", "skipped", "this place is already known")
                    return
                body = {
                    "name": intent.name,
                    "description": intent.description,
                    "timestamp": marker_time(self._next_marker()),
                    "tags": intent.reference_tags or [],
                }
                self._write("poi", "create", "POST", "/pois", body)

    def _shown(self, intent: PoiIntent) -> bool:
        name = (intent.name or "").strip().casefold()
        sample = self._context.world.pois_sample
        return any(place.name.strip().casefold() == name for place in sample)

    def narrative(self, user_action: str, narrative: str) -> None:
        self.writes.append(_narrative(user_action, narrative, self._next_marker(), None))
