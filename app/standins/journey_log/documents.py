"""Checks of documents that journey-log's database cannot store; the service answers 500 for them."""

import re
from typing import Any

from .errors import Refused

MAX_DOCUMENT = 1024 * 1024
_MAX_KEY = 1_500
_MAX_DEPTH = 20
_INTEGERS = range(-(2**63), 2**63)
_RESERVED = re.compile(r"__.*__", re.DOTALL)
_UNSTORED = "The change could not be stored: "


def check_document(part: Any) -> None:
    """Check one part of a character's document, such as its quest. Raises `Refused`."""
    _check(part, 1)


def check_size(size: int) -> None:
    """Check the size of the whole document, in bytes. Raises `Refused`."""
    if size > MAX_DOCUMENT:
        raise unstored(f"the document has {size} bytes, of at most {MAX_DOCUMENT}")


def unstored(reason: str) -> Refused:
    return Refused(500, _UNSTORED + reason)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, int) and value not in _INTEGERS:
        raise unstored("an integer has more than 64 bits")
    if isinstance(value, str):
        _encoded(value)
    if isinstance(value, dict | list) and depth > _MAX_DEPTH:
        raise unstored(f"it is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        _check_map(value, depth)
    elif isinstance(value, list):
        _check_array(value, depth)


def _check_map(value: dict[str, Any], depth: int) -> None:
    for key, inner in value.items():
        if not key:
            raise unstored("a key is empty")
        if _RESERVED.fullmatch(key):
            raise unstored(f"the key {key} is reserved")
        if len(_encoded(key)) > _MAX_KEY:
            raise unstored(f"a key has more than {_MAX_KEY} bytes")
        _check(inner, depth + 1)


def _check_array(value: list[Any], depth: int) -> None:
    for inner in value:
        if isinstance(inner, list):
            raise unstored("an array stands directly in an array")
        _check(inner, depth + 1)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise unstored("a text is not valid Unicode") from None
