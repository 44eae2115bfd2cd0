"""JSON as this service writes it: one line, without spaces."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

_PATIENT: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode(value: Any) -> bytes:
    """UTF-8. Raises `TypeError` or `ValueError` for what is no JSON."""
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError):  # half of a surrogate pair, a number of any length
        return _patiently(value).encode()


def dump(value: Any) -> str:
    """ASCII only. Raises `TypeError` or `ValueError` for what is no JSON."""
    encoded = encode(value)
    return encoded.decode() if encoded.isascii() else _patiently(value)


def _patiently(value: Any) -> str:
    return _PATIENT.encode(msgspec.to_builtins(value))
