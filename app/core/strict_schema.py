"""JSON schemas in the strict form of providers: without references and without keywords that some of them
refuse, such as the bounds of a list. Each property is required, an object admits no other one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

_KEPT: Final = ("type", "enum", "items", "properties", "anyOf")


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The strict form of the type that an answer is read into."""
    root = model.model_json_schema()
    return strict(root, root.get("$defs", {}))


def strict(schema: Mapping[str, Any], named: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The strict form at any depth. `named`: the schemas that others refer to."""
    if "$ref" in schema:
        return strict(named[schema["$ref"].rpartition("/")[2]], named)
    kept: dict[str, Any] = {name: schema[name] for name in _KEPT if name in schema}
    if "anyOf" in kept:
        return {"anyOf": [strict(choice, named) for choice in kept["anyOf"]]}
    if "items" in kept:
        return {**kept, "items": strict(kept["items"], named)}
    if "properties" not in kept:
        return kept
    properties = {name: strict(part, named) for name, part in kept["properties"].items()}
    return {
        **kept,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
