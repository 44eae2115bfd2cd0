"""JSON within a bound: buffers of some clients (game engines) drop a longer message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.core.encoding import dump

MAX_EVENT: Final = 32 * 1024  # bytes of an event's JSON
MAX_KEPT: Final = 64  # characters: ids, times and names of kinds are never cut
_FIRST_LIMIT, _LAST_LIMIT = 16_384, 16


MAX_PIECE: Final = 2_000  # characters, of which none takes more than 12 bytes of JSON


def pieces(text: str) -> list[str]:
    """The text in parts, each of which fits into an event."""
    return [text[at : at + MAX_PIECE] for at in range(0, len(text), MAX_PIECE)]


def within(event: Mapping[str, Any], size: int = MAX_EVENT) -> str:
    """The JSON of `event`. Where it is longer than `size`, its texts and lists are cut evenly, and
    `truncated: true` says so."""
    text, limit = dump(event), _FIRST_LIMIT
    while len(text) > size and limit >= _LAST_LIMIT:
        text = dump({**_cut(event, limit), "truncated": True})
        limit //= 2
    return text


def _cut(value: Any, limit: int) -> Any:
    match value:
        case str():
            return value[: max(limit, MAX_KEPT)]
        case list() | tuple():
            return [_cut(one, limit) for one in value[:limit]]
        case dict():
            return {name: _cut(one, limit) for name, one in value.items()}
        case _:
            return value
