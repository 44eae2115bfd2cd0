"""JSON schemas in the strict form of providers, made from the types that an answer is read into."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

_KEPT: Final = ("type", "enum", "items", "properties", "anyOf")


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Without references; each property is required, an object admits no other one."""
    root = model.model_json_schema()
    return _strict(root, root.get("$defs", {}))


def _strict(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _strict(named[schema["$ref"].rpartition("/")[2]], named)
    kept: dict[str, Any] = {name: schema[name] for name in _KEPT if name in schema}
    if "anyOf" in kept:
        return {"anyOf": [_strict(choice, named) for choice in kept["anyOf"]]}
    if "items" in kept:
        return {**kept, "items": _strict(kept["items"], named)}
    if "properties" not in kept:
        return kept
    properties = {name: _strict(part, named) for name, part in kept["properties"].items()}
    return {
        **kept,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
