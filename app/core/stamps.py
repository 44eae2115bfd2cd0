"""Times as events have them."""

from __future__ import annotations

from datetime import UTC, datetime

_latest: tuple[int, str, int, str] = (-1, "", -1, "")  # of `stamp`: millisecond, text; second, text


def stamp(now: float) -> str:
    """`now` (epoch seconds) in ISO 8601 with milliseconds.

    Thousands of events have the second in common with the one before them, and many the millisecond.
    """
    global _latest
    millis = int(now * 1000)
    known, text, second, prefix = _latest
    if millis == known:
        return text
    if millis // 1000 != second:
        second = millis // 1000
        prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text = f"{prefix}.{millis % 1000:03d}Z"
    _latest = (millis, text, second, prefix)
    return text
