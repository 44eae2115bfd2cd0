"""Bodies as journey-log's database can store them.

It answers 500 for map keys that are blank, reserved (`__…__`) or over 1,500 bytes, for integers
beyond 64 bits, for arrays directly in arrays, for maps nested too deep, and for a character whose
document exceeds 1 MiB. All of these are mended here. What can be stored is left as it is, so mending
twice is mending once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

MAX_INTEGER: Final = 2**63 - 1
MAX_KEY_BYTES: Final = 1_500
UNNAMED: Final = "unnamed"
MAX_QUEST_BYTES: Final = 16 * 1024
"""The document holds the active quest and the last 50: 51 of this size leave a fifth of it free."""
MAX_COMBAT_BYTES: Final = 128 * 1024

_RESERVED: Final = re.compile(r"__.*__", re.DOTALL)
_MARGIN: Final = re.compile(r"^[\s_]+|[\s_]+$")


class _Bounds(NamedTuple):
    """Characters of a string, entries of an array or map, levels of nesting."""

    characters: int
    entries: int
    levels: int


# The last ones keep every part that journey-log requires of a quest or a combat, and its ids.
_UNCUT: Final = _Bounds(2**20, 2**20, 16)
_CUTS: Final = (
    _Bounds(4_096, 1_000, 10),
    _Bounds(1_024, 200, 8),
    _Bounds(256, 50, 6),
    _Bounds(128, 32, 6),
    _Bounds(64, 16, 5),
)


def storable(body: dict[str, Any], limit: int) -> dict[str, Any]:
    """The body with what cannot be stored mended, and cut until it takes at most `limit` bytes."""
    mended: dict[str, Any] = _mended(body, _UNCUT)
    for bounds in _CUTS:
        if stored_size(mended) <= limit:
            break
        mended = _mended(mended, bounds)
    return mended


def amounts(rows: Iterable[tuple[str, int]], longest: int) -> dict[str, int]:
    """Names and amounts as a map; those that get the same name are added up."""
    found: dict[str, int] = {}
    for name, amount in rows:
        key = _key(name.strip()[:longest].strip())
        found[key] = storable_count(found.get(key, 0) + storable_count(amount))
    return found


def storable_count(amount: int) -> int:
    """The nearest number that can be stored and is not negative."""
    return min(max(amount, 0), MAX_INTEGER)


def stored_size(value: Any) -> int:
    """Bytes in the database."""
    if isinstance(value, str):
        return len(value.encode(errors="replace")) + 1
    if isinstance(value, dict):
        return 32 + sum(stored_size(key) + stored_size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(map(stored_size, value))
    return 8


def _mended(value: Any, bounds: _Bounds) -> Any:
    if isinstance(value, str):
        return value[: bounds.characters]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return min(max(value, -MAX_INTEGER - 1), MAX_INTEGER)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if bounds.levels == 0:
        return None
    inner = bounds._replace(levels=bounds.levels - 1)
    return _map(value, inner) if isinstance(value, dict) else _array(value, inner)


def _array(values: list[Any], bounds: _Bounds) -> list[Any]:
    """An array in it becomes a map, since only arrays directly in arrays cannot be stored."""
    rows = ({"values": row} if isinstance(row, list) else row for row in values[: bounds.entries])
    return [_mended(row, bounds) for row in rows]


def _map(values: dict[str, Any], bounds: _Bounds) -> dict[str, Any]:
    """Keys that can be stored keep their names; the others get names that are free."""
    entries = list(values.items())[: bounds.entries]
    taken = {key for key, _ in entries if _key(key, bounds.characters) == key}
    found: dict[str, Any] = {}
    for key, value in entries:
        if key not in taken:
            key = _free(_key(key, bounds.characters), taken | found.keys())
        found[key] = _mended(value, bounds)
    return found


def _key(key: str, longest: int = MAX_KEY_BYTES) -> str:
    """The key itself, or the nearest one that can be stored."""
    cut = _cut(key[:longest], MAX_KEY_BYTES)
    if _RESERVED.fullmatch(cut):
        cut = _MARGIN.sub("", cut)
    return cut if cut.strip() else UNNAMED


def _free(key: str, taken: Iterable[str]) -> str:
    number, free = 2, key
    while free in taken:
        suffix = f" ({number})"
        free, number = _cut(key, MAX_KEY_BYTES - len(suffix)) + suffix, number + 1
    return free


def _cut(text: str, most: int) -> str:
    """To whole characters of UTF-8."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")
