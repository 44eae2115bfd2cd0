"""`DungeonMasterOutcome`: what a model must answer, the schema it is asked for, and its parser."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import ValidationError as PydanticValidationError

from app.core.text import REASONING_TAGS, scrub_surrogates

SCHEMA_VERSION: Final = "1.0.0"

QuestAction = Literal["none", "offer", "start", "advance", "complete", "abandon"]
CombatAction = Literal["none", "start", "continue", "end"]
PoiAction = Literal["none", "create", "reference"]
LocationAction = Literal["none", "update_minor", "leave_poi"]
PacingHint = Literal["slow", "normal", "fast"]


class _Part(BaseModel):
    """Everything is optional and may be null; unknown fields are ignored; a wrong enum is invalid."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def lenient_details(value: Any) -> Any:
    """Read whatever a model wrote as quest details: what cannot be used is dropped, not refused."""
    if value is None or isinstance(value, QuestDetails):
        return value
    details = value if isinstance(value, dict) else {}
    rewards = details.get("rewards")
    rewards = rewards if isinstance(rewards, dict) else {}
    return {
        "requirements": _texts(details.get("requirements")),
        "rewards": {
            "items": _texts(rewards.get("items")),
            "currency": _currency(rewards.get("currency")),
            "experience": _amount(rewards.get("experience")),
        },
    }


def _texts(value: Any) -> list[str]:
    return [item.strip() for item in value if _is_text(item)] if isinstance(value, list) else []


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _amount(value: Any) -> int | None:
    """A whole number from 0 to 2^53, the range that every JSON reader keeps exactly."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= 2**53 else None


def _currency(value: Any) -> list[dict[str, Any]]:
    """`[{name, amount}]`, also from the `{name: amount}` form that older prompts asked for."""
    if isinstance(value, dict):
        value = [{"name": name, "amount": amount} for name, amount in value.items()]
    rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    return [
        {"name": row["name"].strip(), "amount": _amount(row.get("amount"))}
        for row in rows
        if _is_text(row.get("name")) and _amount(row.get("amount")) is not None
    ]


class Currency(_Part):
    name: str
    amount: int


class Rewards(_Part):
    items: list[str] = []
    currency: list[Currency] = []
    experience: int | None = None


class QuestDetails(_Part):
    requirements: list[str] = []
    rewards: Rewards = Rewards()


class QuestIntent(_Part):
    action: QuestAction | None = None
    quest_title: str | None = None
    quest_summary: str | None = None
    quest_details: Annotated[QuestDetails | None, BeforeValidator(lenient_details)] = None
    progress_update: str | None = None


class Enemy(_Part):
    name: str | None = None
    description: str | None = None
    threat: str | None = None


class CombatIntent(_Part):
    action: CombatAction | None = None
    enemies: list[Enemy] | None = None
    combat_notes: str | None = None


class PoiIntent(_Part):
    action: PoiAction | None = None
    name: str | None = None
    description: str | None = None
    reference_tags: list[str] | None = None


class LocationIntent(_Part):
    action: LocationAction | None = None
    location_id: str | None = None
    location_display_name: str | None = None
    minor_location: str | None = None


class MetaIntent(_Part):
    player_mood: str | None = None
    pacing_hint: PacingHint | None = None
    user_is_wandering: bool | None = None
    user_asked_for_guidance: bool | None = None


class Intents(_Part):
    quest_intent: QuestIntent | None = None
    combat_intent: CombatIntent | None = None
    poi_intent: PoiIntent | None = None
    location_intent: LocationIntent | None = None
    meta: MetaIntent | None = None


class DungeonMasterOutcome(_Part):
    narrative: str = Field(min_length=1)
    intents: Intents


OutcomeFault = Literal["json_decode_error", "validation_error"]


class InvalidOutcome(ValueError):
    """The text is not an outcome. `details` names the fields at fault, never their values."""

    def __init__(self, kind: OutcomeFault, details: list[str]) -> None:
        super().__init__("; ".join(details))
        self.kind = kind
        self.details = details


# Reasoning that never ends hides everything behind it, as it does from the players.
_START = re.compile(rf"\{{|<({REASONING_TAGS})>.*?(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
# strict=False: models write raw line breaks inside strings, and the stream has shown them already.
_DECODER = json.JSONDecoder(strict=False)


def parse_outcome(text: str) -> DungeonMasterOutcome:
    """Validate a model's whole answer. Raises `InvalidOutcome`."""
    document = _document(scrub_surrogates(text))
    try:
        return DungeonMasterOutcome.model_validate(document)
    except PydanticValidationError as error:
        raise InvalidOutcome("validation_error", _problems(error)) from None


def parse_intents(text: str) -> Intents | None:
    """The intents of a still unfinished document, or None when they are not valid."""
    try:
        return Intents.model_validate(_scrubbed(_DECODER.decode(text)))
    except (ValueError, RecursionError):
        return None


def _document(text: str) -> Any:
    start = _START.search(text)
    while start and start[0] != "{":
        start = _START.search(text, start.end())
    if start is None:
        raise InvalidOutcome("json_decode_error", ["the answer holds no JSON object"])
    try:
        document = _DECODER.raw_decode(text, start.start())[0]
        return _scrubbed(document) if "\\ud" in text.lower() else document
    except json.JSONDecodeError as error:
        raise InvalidOutcome("json_decode_error", [f"{error.msg} at {error.pos}"]) from None
    except ValueError:  # a number with thousands of digits
        raise InvalidOutcome("json_decode_error", ["a number is out of range"]) from None
    except RecursionError:
        raise InvalidOutcome("json_decode_error", ["the answer is nested too deeply"]) from None


def _problems(error: PydanticValidationError) -> list[str]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}" for row in found[:10]]


def _scrubbed(value: Any) -> Any:
    match value:
        case str():
            return scrub_surrogates(value)
        case list():
            return [_scrubbed(item) for item in value]
        case dict():
            return {scrub_surrogates(key): _scrubbed(item) for key, item in value.items()}
        case _:
            return value


# -- the schema sent to the model, in the strict form providers ask for ---------------------------


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: dict[str, Any], **limits: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **limits}


def _enum(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TEXT_OR_NULL: Final[dict[str, Any]] = {"type": ["string", "null"]}

_QUEST_DETAILS = _object(
    requirements=_list(_TEXT),
    rewards=_object(
        items=_list(_TEXT),
        currency=_list(_object(name=_TEXT, amount={"type": "integer"})),
        experience={"type": ["integer", "null"]},
    ),
)

OUTCOME_JSON_SCHEMA: Final[dict[str, Any]] = _object(
    narrative={"type": "string", "description": "What the player reads: prose, nothing else."},
    intents=_object(
        quest_intent=_nullable(
            _object(
                action=_enum("none", "offer", "advance", "complete", "abandon"),
                quest_title=_TEXT_OR_NULL,
                quest_summary=_TEXT_OR_NULL,
                quest_details=_nullable(_QUEST_DETAILS),
                progress_update=_TEXT_OR_NULL,
            )
        ),
        combat_intent=_nullable(
            _object(
                action=_enum("none", "start", "continue", "end"),
                enemies=_nullable(
                    _list(
                        _object(name=_TEXT, description=_TEXT_OR_NULL, threat=_TEXT_OR_NULL),
                        maxItems=5,
                    )
                ),
                combat_notes=_TEXT_OR_NULL,
            )
        ),
        poi_intent=_nullable(
            _object(
                action=_enum("none", "create", "reference"),
                name=_TEXT_OR_NULL,
                description=_TEXT_OR_NULL,
                reference_tags=_nullable(_list(_TEXT)),
            )
        ),
        location_intent=_nullable(
            _object(
                action=_enum("none", "update_minor", "leave_poi"),
                location_id=_TEXT_OR_NULL,
                location_display_name=_TEXT_OR_NULL,
                minor_location=_TEXT_OR_NULL,
            )
        ),
        meta=_nullable(
            _object(
                player_mood=_TEXT_OR_NULL,
                pacing_hint=_nullable(_enum("slow", "normal", "fast")),
                user_is_wandering={"type": ["boolean", "null"]},
                user_asked_for_guidance={"type": ["boolean", "null"]},
            )
        ),
    ),
)
