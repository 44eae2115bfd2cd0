"""Schemas that models are sent, by what servers take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from app.content.kinds import KINDS
from app.core.messages import JsonSchema
from app.core.prompt import OUTCOME_SCHEMA
from app.core.repair import INTENTS_SCHEMA
from app.core.table_outcome import (
    ROLLED_INTENTS_SCHEMA,
    ROLLED_SCHEMA,
    SUPPLEMENT_SCHEMA,
    TABLE_SCHEMA,
)

from fitting import objects

Json = dict[str, Any]

STRICT_KEYWORDS = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "enum",
}
"""Azure's OpenAI, Anthropic and DeepSeek refuse bounds of lists; OpenAI takes more than ten levels from
nobody, others at most a hundred properties."""
MOST_LEVELS, MOST_PROPERTIES = 10, 100


def parts(schema: Json) -> list[Json]:
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    return [*inner, *([schema["items"]] if "items" in schema else [])]


def keywords(schema: Json) -> Iterator[str]:
    yield from schema
    for part in parts(schema):
        yield from keywords(part)


def levels(schema: Json) -> int:
    """Steps into properties and items; alternatives are none, as OpenAI counts them."""
    return max((levels(part) + ("anyOf" not in schema) for part in parts(schema)), default=1)


def properties(schema: Json) -> int:
    return len(schema.get("properties", ())) + sum(map(properties, parts(schema)))


OF_TURNS = [
    OUTCOME_SCHEMA,
    INTENTS_SCHEMA,
    TABLE_SCHEMA,
    ROLLED_SCHEMA,
    ROLLED_INTENTS_SCHEMA,
    SUPPLEMENT_SCHEMA,
]
OF_CONTENT = [kind.schema for kind in KINDS]


@pytest.mark.parametrize("asked", OF_TURNS + OF_CONTENT, ids=lambda asked: asked.name)
def test_strict_schemas_keep_to_what_each_strict_mode_takes(asked: JsonSchema) -> None:
    schema = dict(asked.schema)
    assert set(keywords(schema)) <= STRICT_KEYWORDS
    assert levels(schema) <= MOST_LEVELS
    assert properties(schema) <= MOST_PROPERTIES
    assert schema["type"] == "object"
    for one in objects(schema):
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])


@pytest.mark.parametrize("asked", OF_TURNS, ids=lambda asked: asked.name)
def test_other_forms_bound_each_list_that_the_prompt_bounds(asked: JsonSchema) -> None:
    bounded = [one for one in keywords(dict(asked.loosest)) if one.endswith("Items")]
    options = 2 * (asked.name.startswith("table"))
    assert len(bounded) == options + 2 * ("intents" in asked.loosest["properties"])
