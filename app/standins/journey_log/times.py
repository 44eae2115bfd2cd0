"""Moments as whole microseconds since 1970 in UTC, so that what a client sent comes back exactly."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def now() -> int:
    return time.time_ns() // 1000


def from_datetime(moment: datetime) -> int:
    """A naive moment is UTC. Raises ValueError when it leaves years 1 to 9999 on the way to UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    micros = (moment - _EPOCH) // _MICROSECOND
    if not _FIRST <= micros <= _LAST:
        raise ValueError("time is out of range")
    return micros


def parse_time(text: str) -> int:
    """Microseconds of an ISO 8601 text; raises ValueError."""
    return from_datetime(datetime.fromisoformat(text))


def to_datetime(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def iso(micros: int) -> str:
    """ISO 8601 with `Z`; the fraction is there only when it is not zero."""
    return to_datetime(micros).replace(tzinfo=None).isoformat() + "Z"
