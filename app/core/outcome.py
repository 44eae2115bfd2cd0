"""`DungeonMasterOutcome`: what a model must answer, and how its answer is read.

Only the narrative and the presence of `intents` decide whether there is an outcome. A slip in a side
field (another type, another spelling, something missing) drops or repairs that field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import ValidationError as PydanticValidationError

from app.core import coerce, short_forms
from app.core.answer import read_document
from app.core.lenient_json import NotJson, parse_json
from app.core.prose import SpoiledNarrative, nested_document, visible_prose
from app.core.quotation import may_quote, quoted_whole
from app.core.text import has_visible, scrub_surrogates

SCHEMA_VERSION: Final = "1.0.0"

QuestAction = Literal["none", "offer", "start", "advance", "complete", "abandon"]
CombatAction = Literal["none", "start", "continue", "end"]
PoiAction = Literal["none", "create", "reference"]
LocationAction = Literal["none", "update_minor", "leave_poi"]
PacingHint = Literal["slow", "normal", "fast"]


class _Part(BaseModel):
    """Everything is optional and may be null; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _one_of(choices: Any) -> BeforeValidator:
    known = choices.__args__
    return BeforeValidator(lambda value: coerce.choice(value, known))


Text = Annotated[str | None, BeforeValidator(coerce.text)]
Texts = Annotated[list[str] | None, BeforeValidator(coerce.texts)]
Flag = Annotated[bool | None, BeforeValidator(coerce.flag)]


class Currency(_Part):
    """An amount of one currency."""

    name: str
    amount: int


class Rewards(_Part):
    """Rewards of a quest."""

    items: list[str] = []
    currency: list[Currency] = []
    experience: int | None = None


class QuestDetails(_Part):
    """The steps and rewards of an offered quest."""

    requirements: list[str] = []
    rewards: Rewards = Rewards()


def lenient_details(value: Any) -> Any:
    """Quest details from whatever a model wrote."""
    return value if isinstance(value, QuestDetails) else coerce.quest_details(value)


class QuestIntent(_Part):
    """Change of the one active quest."""

    action: Annotated[QuestAction | None, _one_of(QuestAction)] = None
    quest_title: Text = None
    quest_summary: Text = None
    quest_details: Annotated[QuestDetails | None, BeforeValidator(lenient_details)] = None
    progress_update: Text = None


class Enemy(_Part):
    """An enemy as a model names it; `description` and `threat` are free text."""

    name: Text = None
    description: Text = None
    threat: Text = None


class CombatIntent(_Part):
    """Change of the combat; `enemies`: those that change."""

    action: Annotated[CombatAction | None, _one_of(CombatAction)] = None
    enemies: Annotated[list[Enemy] | None, BeforeValidator(coerce.enemies)] = None
    combat_notes: Text = None


class PoiIntent(_Part):
    """A place that the story adds or comes back to."""

    action: Annotated[PoiAction | None, _one_of(PoiAction)] = None
    name: Text = None
    description: Text = None
    reference_tags: Texts = None


class LocationIntent(_Part):
    """The character's position within a place; kept by this service, not written to journey-log."""

    action: Annotated[LocationAction | None, _one_of(LocationAction)] = None
    location_id: Text = None
    location_display_name: Text = None
    minor_location: Text = None


class MetaIntent(_Part):
    """The player's mood and the pace, for the next turn's prompt."""

    player_mood: Text = None
    pacing_hint: Annotated[PacingHint | None, _one_of(PacingHint)] = None
    user_is_wandering: Flag = None
    user_asked_for_guidance: Flag = None


def _meta(value: Any) -> Any:
    return coerce.section(value, "player_mood")


class Intents(_Part):
    """All sections; None where nothing happens."""

    quest_intent: Annotated[QuestIntent | None, BeforeValidator(short_forms.quest)] = None
    combat_intent: Annotated[CombatIntent | None, BeforeValidator(short_forms.combat)] = None
    poi_intent: Annotated[PoiIntent | None, BeforeValidator(short_forms.poi)] = None
    location_intent: Annotated[LocationIntent | None, BeforeValidator(short_forms.location)] = None
    meta: Annotated[MetaIntent | None, BeforeValidator(_meta)] = None


class DungeonMasterOutcome(_Part):
    """A whole answer. Source: the product's contract, schema version 1.0.0."""

    narrative: str = Field(min_length=1)
    intents: Annotated[Intents, BeforeValidator(coerce.intents)]


OutcomeFault = Literal["json_decode_error", "validation_error"]


class InvalidOutcome(ValueError):
    """The text is not an outcome. `details` names the fields at fault, never their values."""

    def __init__(self, kind: OutcomeFault, details: list[str]) -> None:
        super().__init__("; ".join(details))
        self.kind = kind
        self.details = details


Outcome = TypeVar("Outcome", bound=DungeonMasterOutcome)


def parse_outcome(text: str) -> DungeonMasterOutcome:
    """Read a model's whole answer. Raises `InvalidOutcome`."""
    return parse_as(DungeonMasterOutcome, text)


def parse_as(kind: type[Outcome], text: str) -> Outcome:
    """Read it as an outcome of that kind. Raises `InvalidOutcome`."""
    document = _read(lambda: read_document(scrub_surrogates(text)))
    narrative = document.get("narrative")
    if isinstance(narrative, str) and nested_document(narrative):
        document = _encoded_twice(document, narrative)
    return _validated(kind, document, quotes=may_quote(text))


def _read(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except NotJson as error:
        raise InvalidOutcome("json_decode_error", [str(error)]) from None


def _encoded_twice(document: dict[str, Any], narrative: str) -> dict[str, Any]:
    """The outcome inside the narrative; where it has no intents of its own, those around it count."""
    inner = _read(lambda: read_document(narrative))
    if not isinstance(inner.get("narrative"), str) or nested_document(inner["narrative"]):
        raise InvalidOutcome("validation_error", ["narrative: is a JSON document and no prose"])
    return {**document, **inner}


def _validated(kind: type[Outcome], document: dict[str, Any], *, quotes: bool) -> Outcome:
    narrative = document.get("narrative")
    try:
        if isinstance(narrative, str):
            narrative = visible_prose(narrative)
            document = {**document, "narrative": narrative}
            if quotes and "intents" in document:
                document["intents"] = quoted_whole(coerce.decoded(document["intents"]), narrative)
        outcome = kind.model_validate(document)
    except SpoiledNarrative as error:
        raise InvalidOutcome("validation_error", [str(error)]) from None
    except PydanticValidationError as error:
        raise InvalidOutcome("validation_error", _problems(error)) from None
    if not has_visible(outcome.narrative):
        raise InvalidOutcome("validation_error", ["narrative: has no visible character"])
    return outcome


def parse_intents(text: str, narrative: str = "") -> Intents | None:
    """The intents of a still unfinished document, or None when they are not valid. `narrative`: what they
    may quote."""
    try:
        value = parse_json(text).value
    except NotJson:
        return None
    if not isinstance(value, dict):
        return None
    return Intents.model_validate(quoted_whole(value, narrative) if may_quote(text) else value)


def _problems(error: PydanticValidationError) -> list[str]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}" for row in found[:10]]
