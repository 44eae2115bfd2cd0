"""What a value must be, in one line for people: from its JSON schema, and without the value itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_OURS = ("value_error", "assertion_error")


def fault(row: Mapping[str, Any], model: type[BaseModel]) -> str:
    """What is wrong with the field of `model` that pydantic's error `row` is about."""
    if row["type"] in _OURS:
        return str(row["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if row["type"] == "extra_forbidden":
        return f"is unknown; known are {', '.join(model.model_fields)}"
    fields = model.model_json_schema().get("properties", {})
    return f"must be {wanted(fields.get(str(row['loc'][0]) if row['loc'] else '', {}))}"


def wanted(schema: Mapping[str, Any]) -> str:
    """Such as `a whole number from 1 to 300`."""
    forms: Sequence[Mapping[str, Any]] = schema.get("anyOf", [schema])
    form = next((form for form in forms if form.get("type") != "null"), schema)
    if "enum" in form:
        return "one of " + ", ".join(map(str, form["enum"]))
    if "const" in form:
        return str(form["const"])
    match form.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return "a whole number" + _range(form.get("minimum"), form.get("maximum"))
        case "number":
            return "a number" + _range(form.get("minimum"), form.get("maximum"))
        case "string" if "pattern" in form:
            return "letters, digits, and . _ - only, at most 200 of them"
        case "string" if form.get("format") != "path":
            return "text" + _range(form.get("minLength"), form.get("maxLength"), " characters")
        case _:
            return "readable"


def _range(low: float | None, high: float | None, unit: str = "") -> str:
    match low, high:
        case None, None:
            return ""
        case _, None:
            return f" of at least {_number(low)}{unit}"
        case None, _:
            return f" of at most {_number(high)}{unit}"
        case _:
            return f" {'of' if unit else 'from'} {_number(low)} to {_number(high)}{unit}"


def _number(value: float | None) -> str:
    assert value is not None
    return str(int(value)) if value == int(value) else str(value)
