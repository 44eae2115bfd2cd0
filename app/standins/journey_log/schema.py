"""Request bodies and queries: the only place where lengths, limits and allowed values are written."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)

from .times import from_datetime, iso, parse_time, to_datetime

_DATETIME: TypeAdapter[datetime] = TypeAdapter(datetime)


def _in_utc(moment: datetime) -> datetime:
    return to_datetime(from_datetime(moment))


def _time_text(value: object) -> str:
    """The text as it was sent, once it is known to be a time; a number becomes ISO text."""
    if isinstance(value, str):
        parse_time(value)
        return value
    return iso(from_datetime(_DATETIME.validate_python(value)))


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    # A number such as 1e999 is well-formed JSON but reads as infinity, which could not be sent back.
    json.dumps(value, allow_nan=False)
    return value


NotBlank = Annotated[str, AfterValidator(_not_blank)]
Count = Annotated[int, Field(ge=0)]
FreeForm = Annotated[dict[str, Any], AfterValidator(_finite)]
Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_not_blank)]
Tag = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_not_blank)]
Tags = Annotated[list[Tag], Field(max_length=20)]
PoiName = Annotated[str, Field(min_length=1, max_length=200)]
PoiDescription = Annotated[str, Field(min_length=1, max_length=2000)]
Status = Literal["Healthy", "Wounded", "Dead"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def document(self) -> dict[str, Any]:
        """The body as JSON values, every defaulted key present."""
        return self.model_dump(mode="json")


class CreateCharacter(_Body):
    name: Label
    race: Label
    class_: Label = Field(alias="class")
    adventure_prompt: NotBlank = Field(min_length=1)
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
    currency: dict[NotBlank, Count] = Field(default_factory=dict)
    experience: Count | None = None


class Quest(_Body):
    name: str
    description: str
    requirements: list[str] = Field(default_factory=list)
    rewards: QuestRewards
    completion_state: Literal["not_started", "in_progress", "completed"]
    updated_at: Annotated[datetime, AfterValidator(_in_utc)]


class Enemy(_Body):
    enemy_id: str
    name: str
    status: Status
    weapon: str | None = None
    traits: list[str] = Field(default_factory=list)
    metadata: FreeForm | None = None


class Combat(_Body):
    combat_id: str
    started_at: Annotated[str, BeforeValidator(_time_text)]
    turn: int = Field(default=1, ge=1)
    enemies: list[Enemy] = Field(max_length=5)
    player_conditions: FreeForm | None = None


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
