"""As much of JSON Schema as the schema of an outcome uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def objects(schema: Any) -> Iterator[Json]:
    if isinstance(schema, list):
        for item in schema:
            yield from objects(item)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)


def fits(schema: Json, value: Any) -> bool:
    if "anyOf" in schema:
        return any(fits(choice, value) for choice in schema["anyOf"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if type(value) not in [TYPES[name] for name in types]:
        return False
    if isinstance(value, dict):
        properties = schema["properties"]
        return set(schema["required"]) <= value.keys() <= properties.keys() and all(
            fits(properties[name], item) for name, item in value.items()
        )
    if isinstance(value, list):
        fit = all(fits(schema["items"], item) for item in value)
        return fit and len(value) <= schema.get("maxItems", len(value))
    return value in schema.get("enum", [value])
