"""The context of a character, as `GET /characters/{id}/context` of journey-log answers.

Shapes follow the journey-log contract; fields this service does not use are ignored. `CharacterProgress` is
our own part: what journey-log has no place for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from app.core.opening import player_words
from app.core.quests import PastQuest, QuestRewards

Status = Literal["Healthy", "Wounded", "Dead"]

MAX_PAST_ACTION: Final = 200
MAX_PAST_RESPONSE: Final = 300


class _Seen(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Identity(_Seen):
    """Identity of the character; a missing name becomes "The adventurer"."""

    name: str = "The adventurer"
    race: str = ""
    class_name: str = ""

    @classmethod
    def from_wire(cls, raw: dict[str, Any]) -> Identity:
        return cls(
            name=raw.get("name") or "The adventurer",
            race=raw.get("race") or "",
            class_name=raw.get("class") or "",
        )


class Location(_Seen):
    """Location of the character: an id and a name for players."""

    id: str = ""
    display_name: str = ""

    @property
    def label(self) -> str:
        return self.display_name or self.id


class PlayerState(_Seen):
    """The character's own part of the context; of things, only the names."""

    identity: Identity = Identity()
    status: Status = "Healthy"
    location: Location = Location()
    equipment: list[str] = []
    inventory: list[str] = []

    @field_validator("identity", mode="before")
    @classmethod
    def _identity(cls, value: Any) -> Any:
        return Identity.from_wire(value) if isinstance(value, dict) else value

    @field_validator("location", mode="before")
    @classmethod
    def _location(cls, value: Any) -> Any:
        """journey-log allows a plain string or any object here."""
        if isinstance(value, str):
            return Location(id=value, display_name=value)
        if isinstance(value, dict):
            return Location(
                id=str(value.get("id") or ""), display_name=str(value.get("display_name") or "")
            )
        return value or Location()

    @field_validator("equipment", "inventory", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        rows = value if isinstance(value, list) else []
        return [str(row["name"]) for row in rows if isinstance(row, dict) and row.get("name")]


class Quest(_Seen):
    """The active quest. `updated_at` is its marker, by which a write is recognised."""

    name: str = ""
    description: str = ""
    requirements: list[str] = []
    completion_state: str = "not_started"
    updated_at: str | None = None
    rewards: QuestRewards = QuestRewards()

    @field_validator("rewards", mode="before")
    @classmethod
    def _rewards(cls, value: Any) -> Any:
        return value if isinstance(value, dict | QuestRewards) else {}


class Combatant(_Seen):
    """One enemy of a fight."""

    enemy_id: str
    name: str
    status: Status = "Healthy"
    weapon: str | None = None
    traits: list[str] = []
    metadata: dict[str, Any] | None = None


class Combat(_Seen):
    """A fight as journey-log stores it; `turn` counts from 1."""

    combat_id: str
    started_at: str
    turn: int = 1
    enemies: list[Combatant] = []
    player_conditions: dict[str, Any] | None = None


class CombatView(_Seen):
    """`state` is None unless the fight is active."""

    active: bool = False
    state: Combat | None = None


@dataclass(frozen=True, slots=True)
class PastTurn:
    """Every open stream keeps some twenty in memory, so it is no model of pydantic, which would be
    five times the size."""

    player_action: str = ""
    gm_response: str = ""
    timestamp: str = ""

    def with_player_words(self) -> PastTurn:
        """Without an action that stands in for one."""
        words = player_words(self.player_action)
        return self if words == self.player_action else replace(self, player_action=words)

    def brief(self) -> PastTurn:
        """Cut to what is recorded."""
        action, response = self.player_action, self.gm_response
        return PastTurn(action[:MAX_PAST_ACTION], response[:MAX_PAST_RESPONSE], self.timestamp)


class Narrative(_Seen):
    """`requested_n`: how many turns there are at most, however many the character has had."""

    recent_turns: list[PastTurn] = []
    requested_n: int = 20

    @field_validator("recent_turns")
    @classmethod
    def _only_player_words(cls, turns: list[PastTurn]) -> list[PastTurn]:
        return [turn.with_player_words() for turn in turns]


class Place(_Seen):
    """A point of interest; a memory spark when it was fetched at random."""

    id: str = ""
    name: str = ""
    description: str = ""
    created_at: str | None = None
    tags: list[str] | None = None


class World(_Seen):
    pois_sample: list[Place] = []


class Context(_Seen):
    character_id: str
    player_state: PlayerState
    quest: Quest | None = None
    combat: CombatView = CombatView()
    narrative: Narrative = Narrative()
    world: World = World()

    def brief(self) -> Context:
        """With past turns shortened as in a prompt: no more is recorded."""
        turns = [turn.brief() for turn in self.narrative.recent_turns]
        return self.model_copy(update={"narrative": Narrative.model_construct(recent_turns=turns)})

    @property
    def is_dead(self) -> bool:
        return self.player_state.status == "Dead"

    @property
    def active_combat(self) -> Combat | None:
        return self.combat.state if self.combat.active else None

    @property
    def newest_timestamp(self) -> float:
        """Newest time in the context, in epoch seconds; 0 when it shows none."""
        stamps = [turn.timestamp for turn in self.narrative.recent_turns]
        stamps += [place.created_at or "" for place in self.world.pois_sample]
        if self.quest and self.quest.updated_at:
            stamps.append(self.quest.updated_at)
        return max((parse_time(stamp) for stamp in stamps), default=0.0)


def parse_time(stamp: str) -> float:
    """ISO 8601 to epoch seconds; 0 for anything else (a naive time counts as UTC)."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class CharacterProgress(_Seen):
    """Our own record of a character between turns, kept in the store.

    `turns` counts finished turns; `since_quest` and `since_poi` count the turns since the last one
    was written (None: never). Times are epoch seconds. `marker` is the last write marker in
    microseconds. `location` and `minor_location` are set by location intents, `quest_progress` by
    quest advances; journey-log has no call for either. `past_quests` are oldest first, and `earned`
    is the sum of the rewards of those that were completed.
    """

    turns: int = 0
    since_quest: int | None = None
    since_poi: int | None = None
    quest_offered_at: float | None = None
    quest_completed_at: float | None = None
    marker: int = 0
    location: Location | None = None
    minor_location: str | None = None
    quest_progress: list[str] = []
    past_quests: list[PastQuest] = []
    earned: QuestRewards = QuestRewards()


def story_has_begun(context: Context, progress: CharacterProgress) -> bool:
    """Whether the character has taken a turn, here or by another service's hand."""
    return bool(progress.turns or context.narrative.recent_turns)
