"""Checks that the contract makes after the schema and before it looks for the character."""

from .errors import Refused
from .times import parse_time


def in_range(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise Refused(400, f"'{name}' must be between 1 and {most}, not {value}")
    return value


def client_time(name: str, text: str | None, refusal: int) -> int | None:
    """Microseconds, or None for a text that is absent or empty."""
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as invalid:
        raise Refused(refusal, f"'{name}' is not an ISO 8601 time: {invalid}") from None
