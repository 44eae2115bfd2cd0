"""The requirement that a value breaks, in one line: from its JSON schema, without the value itself.

For settings, policy files and the bodies of requests alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import AliasChoices, BaseModel

MAX_COMPARED = 64
_OURS = ("value_error", "assertion_error")


def fault(row: Mapping[str, Any], model: type[BaseModel]) -> str:
    """The fault of the field of `model` that pydantic's error `row` is about."""
    match row["type"]:
        case kind if kind in _OURS:
            return str(row["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        case "json_invalid":
            return "is not valid JSON"
        case "extra_forbidden":
            return _not_taken(str(row["loc"][-1]), _names_at(row["loc"][:-1], model))
        case "missing":
            return f"is required, and must be {_wanted_at(row['loc'], model)}"
        case _:
            return f"must be {_wanted_at(row['loc'], model)}"


def names_of(model: type[BaseModel]) -> dict[str, str]:
    """The names that its fields may have in JSON, each with the field's own."""
    known = {}
    for name, field in model.model_fields.items():
        known[name] = name
        if isinstance(field.validation_alias, AliasChoices):
            known |= dict.fromkeys(map(str, field.validation_alias.choices), name)
    return known


def nearest(name: str, known: Iterable[str], cutoff: float) -> str | None:
    """Compared without case and separators: `dryRun` is next to `dry_run`."""
    spelled = {_letters(one): one for one in sorted(known)}
    found = get_close_matches(_letters(name), spelled, n=1, cutoff=cutoff)
    return spelled[found[0]] if found else None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name[:MAX_COMPARED].lower()))


def _not_taken(name: str, known: Mapping[str, str]) -> str:
    if name in known:
        return f"is another name of {known[name]}; give one of them"
    neighbour = nearest(name, known, 0.5)
    if neighbour:
        return f"there is no such field; did you mean {neighbour}?"
    return f"there is no such field; known are {', '.join(known)}"


def _wanted_at(loc: Sequence[str | int], model: type[BaseModel]) -> str:
    return wanted(_schema_at(loc, model)) if loc else "a JSON object"


def _names_at(loc: Sequence[str | int], model: type[BaseModel]) -> Mapping[str, str]:
    """The names of the fields of the object at `loc`."""
    if not loc:
        return names_of(model)
    return {name: name for name in _schema_at(loc, model).get("properties", {})}


def _schema_at(loc: Sequence[str | int], model: type[BaseModel]) -> Mapping[str, Any]:
    """The schema of the value at `loc`, in objects and lists; empty where it is not described."""
    first, *rest = loc
    root = _schema(model)
    node = root.get("properties", {}).get(names_of(model).get(str(first), ""), {})
    for step in rest:
        form = _form(node, root)
        inner = form.get("items") if isinstance(step, int) else form.get("properties", {}).get(step)
        node = inner or {}
    return _form(node, root)


def _form(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a value other than null."""
    forms: Sequence[Mapping[str, Any]] = schema.get("anyOf", [schema])
    form = next((form for form in forms if form.get("type") != "null"), schema)
    named = form.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = root.get("$defs", {}).get(named, form)
    return found


@lru_cache(maxsize=64)
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema(by_alias=False)


def cannot_be(used: str, error: Exception) -> str:
    """`error`, which a file or a database has raised, in plain words: `cannot be read (…)`."""
    if isinstance(error, UnicodeDecodeError):
        return f"cannot be {used} (it is not UTF-8 text)"
    said = error.strerror if isinstance(error, OSError) else None
    return f"cannot be {used} ({said or error})"


def wanted(schema: Mapping[str, Any]) -> str:
    """Such as `a whole number from 1 to 300`."""
    form = _form(schema, {})
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
        case "object":
            return "a JSON object"
        case "array":
            return "a list" + _range(form.get("minItems"), form.get("maxItems"), " items")
        case "string" if form.get("format") == "uuid":
            return "a UUID"
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
