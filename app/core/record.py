"""The record with which any process can carry a validated turn to its end."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from app.core.context import CharacterProgress, Context, Location, Place, Quest
from app.core.money import Amount
from app.core.outcome import Intents
from app.core.policy import PolicyDecision
from app.core.quests import MAX_PAST_QUESTS, PastQuest
from app.core.results import SubsystemSummary, Timing, Usage, Validation
from app.core.tables import NewLine
from app.core.writes import MARKER_STEP, WritePlan

_PROGRESS = AliasChoices("progress", "standing")  # `standing`, `action`: names in older records


class Hold(BaseModel):
    """Why somebody has to choose what becomes of an outcome, and for how long, in seconds. Where nobody has
    chosen, a turn that awaits its commit is cancelled; what awaits approval is approved."""

    model_config = ConfigDict(frozen=True)

    reason: Literal["awaiting_commit", "approval"]
    seconds: float | None = None
    """None: as the settings say."""


class CommitRecord(BaseModel):
    """Recorded in the journal together with the plan; `started_at` is in epoch seconds."""

    model_config = ConfigDict(frozen=True)

    turn_id: str
    user_id: str
    character_id: str
    request_id: str
    traceparent: str | None = None
    started_at: float
    telling: int = 1
    """Which outcome of its turn it is: a retelling that succeeds has the next number."""
    narrative: str
    tokens_streamed: int
    plan: WritePlan
    intents: Intents
    progress: CharacterProgress = Field(validation_alias=_PROGRESS)
    timing: Timing
    usage: Usage
    validation: Validation
    tokens_spent: int | None = None
    """By all model calls of the turn, those that failed included."""
    micros_spent: int = 0
    """The same in micro-dollars."""
    extras: dict[str, Any] = {}
    """Of a table's turn, see `TurnView`."""
    lines: tuple[NewLine, ...] = ()
    """What its end says at its table."""
    until: float = 0.0
    """Epoch seconds: when nobody can choose any more; 0 where nobody has to."""
    hold: Hold | None = None

    @property
    def spent(self) -> Amount | None:
        """None: not known."""
        tokens = self.tokens_spent
        return None if tokens is None else Amount(tokens, self.micros_spent)


class Recording(BaseModel):
    """The inputs of a turn, with which the pipeline can be run again without any upstream.

    `reads` are the model's text deltas, grouped by upstream read. `repair`: the answer to the request for
    the intents alone; empty where it failed, None where none was made.
    """

    model_config = ConfigDict(frozen=True)

    user_action: str = Field(validation_alias=AliasChoices("user_action", "action"))
    opening: bool = False
    dry_run: bool = False
    context: Context | None = None
    progress: CharacterProgress | None = Field(default=None, validation_alias=_PROGRESS)
    decision: PolicyDecision | None = None
    sparks: list[Place] = []
    reads: list[list[str]] = []
    usage: Usage = Field(default_factory=Usage)
    repair: str | None = None
    known_place: bool = False
    marker: int = 0
    plan: WritePlan | None = None


def next_progress(record: CommitRecord, summary: SubsystemSummary, now: float) -> CharacterProgress:
    """Our record of the character after the turn; `now` in epoch seconds.

    Only what was really written counts: an offer that journey-log refused resets no counter.
    """
    old = record.progress
    quest, poi = summary.quest_change, summary.poi_change
    offered = quest.action == "offered" and quest.success is True
    ended = quest.action in ("completed", "abandoned") and quest.success is True
    placed = poi.action == "create" and poi.success is True
    moved = _moved(old, record.intents)
    last = max((write.marker for write in record.plan.writes), default=old.marker - MARKER_STEP)
    return old.model_copy(
        update={
            "turns": old.turns + 1,
            "since_quest": _since(old.since_quest, offered),
            "since_poi": _since(old.since_poi, placed),
            "quest_offered_at": now if offered else old.quest_offered_at,
            "quest_completed_at": now if ended else old.quest_completed_at,
            "marker": max(old.marker, last),
            "quest_progress": _quest_progress(old, record.intents, quest.action, offered or ended),
            **(_past_quests(old, record.plan.ends, quest.action, now) if ended else {}),
            **moved,
        }
    )


def _since(turns: int | None, happened: bool) -> int | None:
    if happened:
        return 0
    return None if turns is None else turns + 1


MAX_PROGRESS = 20


def _quest_progress(
    old: CharacterProgress, intents: Intents, action: str, fresh: bool
) -> list[str]:
    if fresh:
        return []
    intent = intents.quest_intent
    if action != "advanced" or intent is None or not (intent.progress_update or "").strip():
        return old.quest_progress
    return [*old.quest_progress, (intent.progress_update or "").strip()[:500]][-MAX_PROGRESS:]


def _past_quests(
    old: CharacterProgress, quest: Quest | None, action: str, now: float
) -> dict[str, object]:
    """The record with the quest that has ended; plans of older releases do not name it."""
    if quest is None:
        return {}
    completed = action == "completed"
    past = PastQuest(
        name=quest.name,
        requirements=quest.requirements,
        rewards=quest.rewards,
        outcome="completed" if completed else "abandoned",
        ended_at=now,
    )
    earned = old.earned.plus(quest.rewards) if completed else old.earned
    return {
        "past_quests": [*old.past_quests, past][-MAX_PAST_QUESTS:],
        "earned": earned,
    }


def _moved(old: CharacterProgress, intents: Intents) -> dict[str, object]:
    intent = intents.location_intent
    if intent is None or intent.action in (None, "none"):
        return {}
    change: dict[str, object] = {}
    if intent.location_id or intent.location_display_name:
        change["location"] = Location(
            id=intent.location_id or "",
            display_name=intent.location_display_name or intent.location_id or "",
        )
    elsewhere = intent.action == "leave_poi" or bool(change)
    change["minor_location"] = intent.minor_location or (None if elsewhere else old.minor_location)
    return change
