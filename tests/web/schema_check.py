"""As much of JSON Schema as the API descriptions use, and strict: what is not described is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
KEYWORDS = {"$ref", "type", "const", "enum", "anyOf", "oneOf", "discriminator", "properties"}
KEYWORDS |= {"required", "additionalProperties", "items", "minLength", "maxLength", "pattern"}
KEYWORDS |= {
    "maxItems",
    "minimum",
    "maximum",
    "format",
    "default",
    "description",
    "title",
    "example",
}


def at(document: Any, pointer: str) -> Any:
    """What a `$ref` within the document points at. Raises `LookupError`."""
    assert pointer.startswith("#/"), pointer
    node = document
    for step in pointer[2:].split("/"):
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from refs(part)


def faults(value: Any, schema: Any, document: Any, where: str = "$") -> list[str]:
    """Everything about `value` that `schema` does not allow or does not mention."""
    unknown = set(schema) - KEYWORDS
    assert not unknown, f"{where}: this check does not know {unknown}"
    if "$ref" in schema:
        return faults(value, at(document, schema["$ref"]), document, where)
    if "oneOf" in schema or "anyOf" in schema:
        return _variants(value, schema, document, where)
    found = _plain(value, schema, where)
    if found:
        return found
    if isinstance(value, dict):
        return _members(value, schema, document, where)
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", 10**9):
            return [f"{where}: has {len(value)} items"]
        items = schema.get("items", {})
        rows = [faults(one, items, document, f"{where}[{i}]") for i, one in enumerate(value)]
        return [fault for row in rows for fault in row]
    return []


def _variants(value: Any, schema: Any, document: Any, where: str) -> list[str]:
    if "discriminator" in schema:
        chosen = schema["discriminator"]["mapping"].get(value.get("type"))
        if chosen is None:
            return [f"{where}: no variant for {value.get('type')!r}"]
        assert {"$ref": chosen} in schema["oneOf"]
        return faults(value, {"$ref": chosen}, document, where)
    tried = [
        faults(value, one, document, where) for one in schema.get("oneOf", schema.get("anyOf"))
    ]
    return [] if [] in tried else [f"{where}: fits no variant: {tried}"]


def _plain(value: Any, schema: Any, where: str) -> list[str]:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return [f"{where}: {value!r} is not of type {kinds}"]
    if "const" in schema and value != schema["const"]:
        return [f"{where}: {value!r} is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, str):
        return _text(value, schema, where)
    return []


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, KINDS[kind])


FORMATS = {
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
}


def _text(value: str, schema: Any, where: str) -> list[str]:
    pattern = schema.get("pattern") or FORMATS.get(schema.get("format", ""), "(?s:.*)")
    long = not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
    return (
        [f"{where}: {value!r} breaks {schema}"] if long or not re.fullmatch(pattern, value) else []
    )


def _members(value: dict[str, Any], schema: Any, document: Any, where: str) -> list[str]:
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", "properties" not in schema)
    found = [
        f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value
    ]
    for name, member in value.items():
        part = known.get(name, rest)
        if part is False:
            found.append(f"{where}: {name} is not described")
        elif part is not True:
            found += faults(member, part, document, f"{where}.{name}")
    return found
