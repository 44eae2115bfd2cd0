"""JSON within a bound: buffers of some clients (game engines) drop a longer message."""

from __future__ import annotations

from typing import Any

from app.core.encoding import dump

MAX_EVENT = 32 * 1024  # bytes of an event's JSON
_FIRST_LIMIT, _LAST_LIMIT = 16_384, 32


def within(event: Any, size: int = MAX_EVENT) -> str:
    """The JSON of `event`, its texts and lists cut evenly until it is not longer than `size`."""
    text, limit = dump(event), _FIRST_LIMIT
    while len(text) > size and limit >= _LAST_LIMIT:
        text = dump(_cut(event, limit))
        limit //= 2
    return text


def _cut(value: Any, limit: int) -> Any:
    match value:
        case str():
            return value[:limit]
        case list() | tuple():
            return [_cut(one, limit) for one in value[:limit]]
        case dict():
            return {name: _cut(one, limit) for name, one in value.items()}
        case _:
            return value
