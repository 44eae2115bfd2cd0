"""The JSON schema of an outcome, in two forms that say the same.

A turn in which nothing happens ends with `"intents":null`, a part in which nothing happens is null.

- The strict form, for servers that take `json_schema`. Strict mode knows no optional field: each
  property is required, an object admits no other one, and what may be missing is nullable, by `anyOf`
  or by a list of types. A text for which there is nothing to say is empty, which costs a model as
  little as null.
- The optional form, for servers that take a schema by another name: what may be missing is left out.

docs/model-servers.md says what servers do with either.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]


def _object(*required: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _strict(schema: Schema) -> Schema:
    """With each property required, at any depth."""
    if "anyOf" in schema:
        return {"anyOf": [_strict(choice) for choice in schema["anyOf"]]}
    if "items" in schema:
        return {**schema, "items": _strict(schema["items"])}
    if "properties" not in schema:
        return schema
    properties = {name: _strict(part) for name, part in schema["properties"].items()}
    return {**schema, "properties": properties, "required": list(properties)}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}

_QUEST_DETAILS: Final = _object(
    "requirements",
    requirements=_list(_TEXT),
    rewards=_object(
        items=_list(_TEXT),
        currency=_list(_object("name", "amount", name=_TEXT, amount={"type": "integer"})),
        experience={"type": ["integer", "null"]},
    ),
)

_INTENTS: Final = _object(
    quest_intent=_nullable(
        _object(
            "action",
            action=_enum("none", "offer", "advance", "complete", "abandon"),
            quest_title=_TEXT,
            quest_summary=_TEXT,
            quest_details=_nullable(_QUEST_DETAILS),
            progress_update=_TEXT,
        )
    ),
    combat_intent=_nullable(
        _object(
            "action",
            action=_enum("none", "start", "continue", "end"),
            enemies=_list(_object("name", name=_TEXT, description=_TEXT, threat=_TEXT), maxItems=5),
            combat_notes=_TEXT,
        )
    ),
    poi_intent=_nullable(
        _object(
            "action",
            action=_enum("none", "create", "reference"),
            name=_TEXT,
            description=_TEXT,
            reference_tags=_list(_TEXT),
        )
    ),
    location_intent=_nullable(
        _object(
            "action",
            action=_enum("none", "update_minor", "leave_poi"),
            location_id=_TEXT,
            location_display_name=_TEXT,
            minor_location=_TEXT,
        )
    ),
    meta=_nullable(
        _object(
            player_mood=_TEXT,
            pacing_hint=_enum("slow", "normal", "fast"),
            user_is_wandering=_FLAG,
            user_asked_for_guidance=_FLAG,
        )
    ),
)

OPTIONAL_OUTCOME_SCHEMA: Final = _object(
    "narrative", "intents", narrative=_TEXT, intents=_nullable(_INTENTS)
)
OPTIONAL_INTENTS_SCHEMA: Final = _object("intents", intents=_nullable(_INTENTS))
INTENTS_JSON_SCHEMA: Final = _strict(OPTIONAL_INTENTS_SCHEMA)
OUTCOME_JSON_SCHEMA: Final = _strict(OPTIONAL_OUTCOME_SCHEMA)
