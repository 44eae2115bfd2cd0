"""JSON as this service writes it: without spaces, and never refused for what a text or number holds."""

from __future__ import annotations

import codecs
import json
from json.encoder import encode_basestring_ascii
from typing import Any, Final

import msgspec

_SPACELESS: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode(value: Any) -> bytes:
    """UTF-8. Raises `TypeError` for what is no JSON."""
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError):  # half of a surrogate pair, a number of more than 64 bits
        return _SPACELESS.encode(value).encode()


def dump(value: Any) -> str:
    """ASCII only. Raises `TypeError` for what is no JSON."""
    told = encode(value)
    if not told.isascii():
        told = told.decode().encode("ascii", _ESCAPES)
    return told.decode("ascii")


_ESCAPES: Final = "json-escapes"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return encode_basestring_ascii(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPES, _escaped)
