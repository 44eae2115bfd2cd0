"""A JSON schema in the notation of types that programs use, for a model to read.

A quarter of the length of the schema, and models have seen more of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_NAMES: Final = {"string": "string", "integer": "int", "number": "number", "boolean": "bool"}


def notation(schema: Mapping[str, Any]) -> str:
    """One line. Keywords beyond types, properties, items, enumerations and alternatives are left out."""
    return " | ".join(_choices(schema))


def _choices(schema: Mapping[str, Any]) -> Iterator[str]:
    kinds = schema.get("type", ())
    if "anyOf" in schema:
        for choice in schema["anyOf"]:
            yield from _choices(choice)
    elif "enum" in schema:
        yield from (json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    else:
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            yield _type(schema, kind)


def _type(schema: Mapping[str, Any], kind: str) -> str:
    if kind == "object":
        required = schema.get("required", ())
        fields = (
            f"{json.dumps(name)}{'' if name in required else '?'}: {notation(part)}"
            for name, part in schema.get("properties", {}).items()
        )
        return f"{{{', '.join(fields)}}}"
    if kind == "array":
        items = notation(schema.get("items", {})) or "any"
        return f"({items})[]" if " | " in items else f"{items}[]"
    return _NAMES.get(kind, kind)
