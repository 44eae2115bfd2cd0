"""Parts of the intents in their short form.

`{"create": "The Pier"}` stands for `{"action": "create", "name": "The Pier"}`. The schema has three of
these names; models make others after their example, put all fields inside, or write both forms at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from app.core.coerce import choice, decoded, flag, section, text


class _Part(NamedTuple):
    """A part of the intents. `actions`: of each, the field that is said with it, if any."""

    actions: Mapping[str, str]
    fields: frozenset[str]


_QUEST: Final = _Part(
    {
        "offer": "quest_title",
        "start": "quest_title",
        "advance": "progress_update",
        "complete": "progress_update",
        "abandon": "progress_update",
    },
    frozenset({"quest_title", "quest_summary", "quest_details", "requirements", "rewards"}),
)
_COMBAT: Final = _Part(
    {"start": "enemies", "continue": "enemies", "end": "combat_notes"},
    frozenset({"enemies", "combat_notes"}),
)
_POI: Final = _Part(
    {"create": "name", "reference": "name"}, frozenset({"name", "description", "reference_tags"})
)
_LOCATION: Final = _Part(
    {"update_minor": "minor_location", "leave_poi": ""},
    frozenset({"location_id", "location_display_name", "minor_location"}),
)


_NEEDED: Final = frozenset({"quest_title", "enemies", "name"})
"""Fields without which an action of theirs is none."""


def quest(value: Any) -> Any:
    """A quest intent; its details also beside its other fields, and not in an object of their own."""
    found = _begun(value, _QUEST)
    beside = _given(found, "requirements", "rewards") if isinstance(found, dict) else {}
    if not beside:
        return found
    details = decoded(found.get("quest_details"))
    inside = _given(details, *details) if isinstance(details, dict) else {}
    return {**found, "quest_details": {**beside, **inside}}


def combat(value: Any) -> Any:
    """A combat intent."""
    return _begun(value, _COMBAT)


def poi(value: Any) -> Any:
    """A place intent."""
    return _begun(value, _POI)


def location(value: Any) -> Any:
    """A location intent."""
    return _begun(value, _LOCATION)


def _given(value: dict[str, Any], *names: str) -> dict[str, Any]:
    """The fields of these names with something in them."""
    return {name: value[name] for name in names if value.get(name) not in (None, "", [], {})}


def _begun(value: Any, part: _Part) -> Any:
    """The part, in which `{ACTION: X}` stands for the action and its field, or for all fields in X."""
    value = section(value, "action")
    if not isinstance(value, dict):
        return value
    given = _given(value, *value)
    if choice(given.get("action"), (*part.actions, "none")) is None:
        given.pop("action", None)
    for action, field in part.actions.items():
        said = decoded(given.pop(action, None))
        if not _says(said) or (said is True and field in _NEEDED and field not in given):
            continue
        if said is True or not field:
            said = {}
        fields = said if isinstance(said, dict) and not said.keys() - part.fields else {field: said}
        return {"action": action, **fields, **given, **_joined(fields, given)}
    return value


def _says(value: Any, depth: int = 3) -> bool:
    """Whether there is anything in it; words for yes and no are no names."""
    match value:
        case list() if depth:
            return any(_says(item, depth - 1) for item in value)
        case dict() if depth:
            return any(_says(item, depth - 1) for item in value.values())
        case bool() | list() | dict():
            return bool(value)
        case _:
            return text(value) is not None and flag(value) is not False


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    """The lists that are in both."""
    both = [
        name for name in one if isinstance(one[name], list) and isinstance(other.get(name), list)
    ]
    return {name: one[name] + [row for row in other[name] if row not in one[name]] for name in both}
