"""The JSON schema of an outcome, in two forms that say the same.

A turn in which nothing happens ends with `"intents":null`, a part in which nothing happens is null.

- The strict form, for servers that take `json_schema`. Strict mode knows no optional field: each
  property is required, an object admits no other one, and what may be missing is nullable, by `anyOf`
  or by a list of types. A text for which there is nothing to say is empty, which costs a model as
  little as null. Lists have no bounds: several servers refuse them.
- The optional form, for servers that take a schema by another name: what may be missing is left out. An
  action that begins something is the name of what it begins, as in `{"create": NAME}`, and a quest has no
  details but requirements and rewards, each a text.

docs/model-servers.md says what servers do with either.
"""

from __future__ import annotations

from typing import Any, Final

from app.core.strict_schema import strict

Schema = dict[str, Any]


def _object(*required: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_TEXTS: Final = _list(_TEXT)

_REWARDS: Final = _object(
    items=_TEXTS,
    currency=_list(_object("name", "amount", name=_TEXT, amount={"type": "integer"})),
    experience={"type": ["integer", "null"]},
)
_DETAILS: Final = _object("requirements", requirements=_list(_TEXT), rewards=_nullable(_REWARDS))


_ENEMIES: Final = _list(_object("name", name=_TEXT, description=_TEXT, threat=_TEXT), maxItems=5)


def _outcome(quest: Schema, combat: Schema, poi: Schema) -> Schema:
    location = _object(
        "action",
        action=_enum("none", "update_minor", "leave_poi"),
        location_id=_TEXT,
        location_display_name=_TEXT,
        minor_location=_TEXT,
    )
    meta = _object(
        player_mood=_TEXT,
        pacing_hint=_enum("slow", "normal", "fast"),
        user_is_wandering=_FLAG,
        user_asked_for_guidance=_FLAG,
    )
    intents = _object(
        quest_intent=_nullable(quest),
        combat_intent=_nullable(combat),
        poi_intent=_nullable(poi),
        location_intent=_nullable(location),
        meta=_nullable(meta),
    )
    return _object("narrative", "intents", narrative=_TEXT, intents=_nullable(intents))


def _intents_of(outcome: Schema) -> Schema:
    return _object("intents", intents=outcome["properties"]["intents"])


OUTCOME_JSON_SCHEMA: Final = strict(
    _outcome(
        _object(
            action=_enum("none", "offer", "advance", "complete", "abandon"),
            quest_title=_TEXT,
            quest_summary=_TEXT,
            quest_details=_nullable(_DETAILS),
            progress_update=_TEXT,
        ),
        _object(
            action=_enum("none", "start", "continue", "end"),
            enemies=_ENEMIES,
            combat_notes=_TEXT,
        ),
        _object(
            action=_enum("none", "create", "reference"),
            name=_TEXT,
            description=_TEXT,
            reference_tags=_TEXTS,
        ),
    )
)
OPTIONAL_OUTCOME_SCHEMA: Final = _outcome(
    _object(
        offer=_TEXT,
        quest_summary=_TEXT,
        requirements=_TEXTS,
        rewards=_TEXTS,
        action=_enum("none", "advance", "complete", "abandon"),
        progress_update=_TEXT,
    ),
    _object(
        start=_ENEMIES,
        action=_enum("none", "continue", "end"),
        enemies=_ENEMIES,
        combat_notes=_TEXT,
    ),
    _object(
        create=_TEXT,
        action=_enum("none", "reference"),
        name=_TEXT,
        description=_TEXT,
        reference_tags=_TEXTS,
    ),
)
INTENTS_JSON_SCHEMA: Final = _intents_of(OUTCOME_JSON_SCHEMA)
OPTIONAL_INTENTS_SCHEMA: Final = _intents_of(OPTIONAL_OUTCOME_SCHEMA)
