"""Request bodies and queries: the only place where lengths, limits and allowed values are written."""

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from .times import from_datetime, iso

MAX_ENEMIES = 5
_MAX_TAG = 50


def _whole_tags(tags: list[str]) -> list[str]:
    if not all(tag.strip() and len(tag) <= _MAX_TAG for tag in tags):
        raise ValueError(f"each tag has 1 to {_MAX_TAG} characters, one of them visible")
    return tags


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    # A number such as 1e999 is well-formed JSON but reads as infinity, which could not be sent back.
    json.dumps(value, allow_nan=False)
    return value


FreeForm = Annotated[dict[str, Any], AfterValidator(_finite)]
Label = Annotated[str, Field(min_length=1, max_length=64)]
Tags = Annotated[list[str], Field(max_length=20), AfterValidator(_whole_tags)]
PoiName = Annotated[str, Field(min_length=1, max_length=200)]
PoiDescription = Annotated[str, Field(min_length=1, max_length=2000)]


class Status(StrEnum):
    HEALTHY = "Healthy"
    WOUNDED = "Wounded"
    DEAD = "Dead"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def document(self) -> dict[str, Any]:
        """The body as JSON values, every defaulted key present."""
        return self.model_dump(mode="json")


class CreateCharacter(_Body):
    name: Label
    race: Label
    class_: Label = Field(alias="class")
    adventure_prompt: str = Field(min_length=1)
    location_id: str | None = None
    location_display_name: str | None = None

    @model_validator(mode="after")
    def _location_is_whole(self) -> Self:
        if (self.location_id is None) != (self.location_display_name is None):
            raise ValueError("location_id and location_display_name go together")
        return self


class AppendTurn(_Body):
    user_action: str = Field(min_length=1, max_length=8000)
    ai_response: str = Field(min_length=1, max_length=32000)
    timestamp: str | None = None


class QuestRewards(_Body):
    items: list[str] = Field(default_factory=list)
    currency: dict[str, int] = Field(default_factory=dict)
    experience: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _currency_is_named_and_not_negative(self) -> Self:
        for name, amount in self.currency.items():
            if not name.strip():
                raise ValueError("a currency needs a name")
            if amount < 0:
                raise ValueError(f"the amount of {name} is negative")
        return self


class Quest(_Body):
    name: str
    description: str
    requirements: list[str] = Field(default_factory=list)
    rewards: QuestRewards
    completion_state: Literal["not_started", "in_progress", "completed"]
    updated_at: datetime

    def stored(self) -> dict[str, Any]:
        """The document with its time in UTC. Raises ValueError for one that leaves the calendar."""
        return {**self.document(), "updated_at": iso(from_datetime(self.updated_at))}


class Enemy(_Body):
    enemy_id: str
    name: str
    status: Status
    weapon: str | None = None
    traits: list[str] = Field(default_factory=list)
    metadata: FreeForm | None = None


class Combat(_Body):
    combat_id: str
    started_at: datetime | str  # any text, which is not read before the character is
    turn: int = Field(default=1, ge=1)
    enemies: list[Enemy]
    player_conditions: FreeForm | None = None

    @model_validator(mode="after")
    def _enemies_are_few(self) -> Self:
        if len(self.enemies) > MAX_ENEMIES:
            raise ValueError(f"at most {MAX_ENEMIES} enemies, not {len(self.enemies)}")
        return self


class PutCombat(_Body):
    combat_state: Combat | None


class CreatePoi(_Body):
    name: PoiName
    description: PoiDescription
    timestamp: str | None = None
    tags: Tags | None = None


class UpdatePoi(_Body):
    name: PoiName | None = None
    description: PoiDescription | None = None
    visited: bool | None = None
    tags: Tags | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(value is None for value in (self.name, self.description, self.visited, self.tags)):
            raise ValueError("at least one field must be given")
        return self


class ListQuery(BaseModel):
    limit: int | None = None
    offset: int = 0


class NarrativeQuery(BaseModel):
    n: int = 10
    since: str | None = None


class ContextQuery(BaseModel):
    recent_n: int = 20
    include_pois: bool = False
    include_narrative: bool = True
    include_combat: bool = True
    include_quest: bool = True


class PoiPageQuery(BaseModel):
    limit: int = Field(default=10, ge=1, le=100)
    cursor: str | None = None


class PoiRandomQuery(BaseModel):
    n: int = 3


class PoiSummaryQuery(BaseModel):
    preview_limit: int = Field(default=5, ge=1, le=20)
