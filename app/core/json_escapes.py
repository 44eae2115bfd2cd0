"""Escapes inside JSON strings, also those that JSON does not have, and those that are not yet whole."""

from __future__ import annotations

import re
from typing import Final

from app.core.text import REPLACEMENT, scrub_surrogates

_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")


def decode_escape(text: str, pos: int, *, final: bool = False) -> tuple[str, int]:
    """The character of the escape at `pos`, and the index behind it. An unknown one is its character,
    half a surrogate pair U+FFFD. The index is `pos` where more text is needed to decide, which it never
    is with `final`.
    """
    if pos + 2 > len(text):
        return ("\\", pos + 1) if final else ("", pos)
    kind = text[pos + 1]
    if kind != "u":
        return _ESCAPES.get(kind, kind), pos + 2
    if not final and _may_become_unit(text, pos):
        return "", pos
    unit = _code_unit(text, pos)
    if unit is None:
        return kind, pos + 2
    if not 0xD800 <= unit <= 0xDFFF:
        return chr(unit), pos + 6
    if unit >= 0xDC00:
        return REPLACEMENT, pos + 6
    if not final and "\\u".startswith(text[pos + 6 : pos + 8]) and _may_become_unit(text, pos + 6):
        return "", pos
    low = _code_unit(text, pos + 6) if text.startswith("\\u", pos + 6) else None
    if low is None or not 0xDC00 <= low <= 0xDFFF:
        return REPLACEMENT, pos + 6
    return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)), pos + 12


def decode_text(raw: str) -> str:
    """The characters that the inside of a whole JSON string stands for."""
    parts: list[str] = []
    pos = 0
    while (at := raw.find("\\", pos)) >= 0:
        parts.append(raw[pos:at])
        decoded, pos = decode_escape(raw, at, final=True)
        parts.append(decoded)
    return scrub_surrogates("".join([*parts, raw[pos:]]))


def _may_become_unit(text: str, pos: int) -> bool:
    """Whether the text ends within the four digits of the escape at `pos`."""
    digits = text[pos + 2 : pos + 6]
    return len(digits) < 4 and all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _code_unit(text: str, pos: int) -> int | None:
    digits = _HEX4.fullmatch(text, pos + 2, pos + 6)
    return int(digits[0], 16) if digits else None
