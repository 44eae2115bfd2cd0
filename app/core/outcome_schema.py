"""The JSON schema of an outcome, in the strict form that providers ask for."""

from __future__ import annotations

from typing import Any, Final


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
