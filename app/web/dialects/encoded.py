"""The parts of an event that folds need, read from its encoding.

A token is not parsed: its text is a JSON string already, at a known place (`encode_token` of
`app.core.events`), and is copied as it stands.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from app.core.encoding import dump

NARRATIVE: Final = "narrative"
_STAMP: Final = len(b'{"type":"token","timestamp":"')
_SECOND, _FRACTION, _STAMPED = _STAMP + 19, _STAMP + 20, _STAMP + 23
_QUOTED: Final = b'Z","content":'
_TEXT: Final = _STAMPED + len(_QUOTED)
_TAIL: Final = b',"field":"narrative"}'
_INDEX: Final = b',"index":'

_latest: tuple[bytes, int] = (b"", 0)  # a second and its milliseconds since 1970


def token_of(data: bytes) -> tuple[bytes, str]:
    """The text of a token as a JSON string, and its field."""
    if text := narrative_of(data):
        return text, NARRATIVE
    event = event_of(data)
    return encoded(event.get("content") or ""), str(event.get("field") or NARRATIVE)


def narrative_of(data: bytes) -> bytes:
    """The text of a token of the narrative as a JSON string; empty where there is none, or where the
    token is not written as ours are."""
    if data.endswith(_TAIL) and data[_STAMPED:_TEXT] == _QUOTED:
        text = data[_TEXT : data.rindex(_INDEX)]
        return text if text != b'""' else b""
    return b""


def token_millis(data: bytes) -> int:
    """When a token was made, in milliseconds since 1970. Thousands have the second in common."""
    global _latest
    second, millis = _latest
    if data[_STAMP:_SECOND] == second:
        return millis + int(data[_FRACTION:_STAMPED])
    if data[_STAMPED:_TEXT] != _QUOTED:
        return millis_of(event_of(data))
    second = data[_STAMP:_SECOND]
    millis = _millis(second.decode() + "Z")
    _latest = (second, millis)
    return millis + int(data[_FRACTION:_STAMPED])


def event_of(data: bytes) -> dict[str, Any]:
    """The whole event."""
    event: dict[str, Any] = msgspec.json.decode(data)
    return event


def value_of(event: dict[str, Any]) -> dict[str, Any]:
    """Without type and timestamp."""
    return {name: it for name, it in event.items() if name not in ("type", "timestamp")}


def millis_of(event: dict[str, Any]) -> int:
    """Milliseconds since 1970; 0 for an event without a time."""
    stamp = event.get("timestamp")
    return _millis(stamp) if isinstance(stamp, str) else 0


def _millis(stamp: str) -> int:
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return 0
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def encoded(value: Any) -> bytes:
    """JSON in ASCII."""
    return dump(value).encode("ascii")


def counts(usage: Any, names: dict[str, str]) -> dict[str, int]:
    """The known counts of a turn's usage under other names; `names` maps our names to the others."""
    known = usage if isinstance(usage, dict) else {}
    found = {other: known.get(own) for own, other in names.items()}
    return {name: it for name, it in found.items() if type(it) is int}
