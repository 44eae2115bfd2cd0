"""The narrative, decoded as it forms inside a streamed JSON outcome.

`NarrativeBuffer` is sans-I/O: feed it the model's text in pieces cut anywhere, get back the decoded
characters of the top-level `narrative` string that are certain by now. Joined, they are always a
prefix of the narrative that parsing the whole text gives: an escape or a surrogate pair is held
until it is complete. Ahead of the document it accepts reasoning blocks (`<think>…</think>`), prose
and a code fence; behind it, anything. The order of the fields does not matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import Enum, auto

from app.core.text import REASONING_TAGS, REPLACEMENT

_START = re.compile(rf"\{{|<({REASONING_TAGS})>", re.IGNORECASE)
_LONGEST_OPENING = len("<reflection>")
_STRUCTURE = re.compile(r'["{}\[\],:]')
# Inside a value, only brackets count; a string is left behind at once, unless it has an escape or
# goes on in the next piece.
_NESTED = re.compile(r'[{}\[\]]|"[^"\\]*(")?')
_STRING_SPECIAL = re.compile(r'["\\]')
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}


class _State(Enum):
    PREAMBLE = auto()
    REASONING = auto()
    STRUCTURE = auto()
    STRING = auto()
    NARRATIVE = auto()
    DONE = auto()


class NarrativeBuffer:
    """Incremental scanner of one outcome document.

    `intents_span` is the half-open range of code points, counted from the first one fed, that the
    value of the top-level `intents` object occupies; None until the model has closed it. `over`:
    the narrative string has been closed, what follows holds none of it.
    """

    __slots__ = (
        "_closing",
        "_depth",
        "_intents_at",
        "_is_key",
        "_key",
        "_key_parts",
        "_pending",
        "_state",
        "_telling",
        "_told",
        "fed",
        "intents_span",
        "over",
    )

    def __init__(self) -> None:
        self._state = _State.PREAMBLE
        self._pending = ""  # text that cannot be decided yet: a cut escape, a cut tag
        self._closing = ""
        self._depth = 0
        self._is_key = False
        self._key = ""
        self._key_parts: list[str] = []
        self._told = False
        self._telling = False  # text without quotes and backslashes is narrative as it is
        self._intents_at = -1
        self.over = False
        self.fed = 0
        self.intents_span: tuple[int, int] | None = None

    def feed(self, text: str) -> str:
        """The next decoded characters of the narrative; empty when `text` holds none."""
        return self.feed_all((text,), text)[0]

    def feed_all(self, pieces: Sequence[str], joined: str) -> tuple[str, int]:
        """Feed many at once, which are also given joined. Returns what `feed` would have returned
        for them, joined, and for how many of them it would not have been empty."""
        if self._telling and '"' not in joined and "\\" not in joined:  # as it is with most reads
            self.fed += len(joined)
            return joined, len(pieces) - pieces.count("")
        told: list[str] = []
        for number, piece in enumerate(pieces):
            if self._telling and '"' not in piece and "\\" not in piece:
                self.fed += len(piece)
                shown = piece
            elif self.over:
                self._scan("".join(pieces[number:]))
                break
            else:
                shown = self._scan(piece)
            if shown:
                told.append(shown)
        return "".join(told), len(told)

    def _scan(self, text: str) -> str:
        self.fed += len(text)
        text = self._pending + text
        self._pending = ""
        out: list[str] = []
        pos = 0
        while pos < len(text):
            match self._state:
                case _State.PREAMBLE:
                    pos = self._preamble(text, pos)
                case _State.REASONING:
                    pos = self._reasoning(text, pos)
                case _State.STRUCTURE:
                    pos = self._structure(text, pos)
                case _State.STRING:
                    pos = self._string(text, pos)
                case _State.NARRATIVE:
                    pos = self._narrative(text, pos, out)
                case _State.DONE:
                    break
        narrative = self._state is _State.NARRATIVE
        self._telling = narrative and not self._pending
        self.over = self._told and not narrative
        return "".join(out)

    def _hold(self, text: str, pos: int) -> int:
        self._pending = text[pos:]
        return len(text)

    def _preamble(self, text: str, pos: int) -> int:
        found = _START.search(text, pos)
        if found is None:
            cut = text.rfind("<", max(pos, len(text) - _LONGEST_OPENING + 1))
            return len(text) if cut < 0 else self._hold(text, cut)
        if found[0] == "{":
            self._state = _State.STRUCTURE
            return found.start()
        self._closing = f"</{found[1]}>"
        self._state = _State.REASONING
        return found.end()

    def _reasoning(self, text: str, pos: int) -> int:
        closing = re.compile(re.escape(self._closing), re.IGNORECASE).search(text, pos)
        if closing is None:
            return self._hold(text, max(pos, len(text) - len(self._closing) + 1))
        self._state = _State.PREAMBLE
        return closing.end()

    def _structure(self, text: str, pos: int) -> int:
        if self._depth > 1:
            return self._nested(text, pos)
        found = _STRUCTURE.search(text, pos)
        if found is None:
            return len(text)
        pos = found.end()
        match found[0]:
            case '"':
                self._open_string()
            case "{" | "[":
                self._open(text, pos)
            case "}" | "]":
                self._close(text, pos)
            case ",":
                self._is_key = True
            case ":":
                self._is_key = False
        return pos

    def _nested(self, text: str, pos: int) -> int:
        found = _NESTED.search(text, pos)
        if found is None:
            return len(text)
        pos = found.end()
        match found[0]:
            case "{" | "[":
                self._open(text, pos)
            case "}" | "]":
                self._close(text, pos)
            case _ if found[1] is None:  # a string that is not over
                self._state = _State.STRING
        return pos

    def _open(self, text: str, pos: int) -> None:
        if self._depth == 1 and self._key == "intents" and self._intents_at < 0:
            self._intents_at = self._absolute(text, pos) - 1
        self._depth += 1
        self._is_key = self._depth == 1

    def _close(self, text: str, pos: int) -> None:
        self._depth -= 1
        if self._depth == 1 and self._intents_at >= 0 and self.intents_span is None:
            self.intents_span = (self._intents_at, self._absolute(text, pos))
        if self._depth <= 0:
            self._state = _State.DONE

    def _absolute(self, text: str, pos: int) -> int:
        return self.fed - len(text) + pos

    def _open_string(self) -> None:
        if self._depth == 1 and not self._is_key and self._key == "narrative" and not self._told:
            self._state, self._told = _State.NARRATIVE, True
        else:
            self._state = _State.STRING
            self._key_parts.clear()

    def _string(self, text: str, pos: int) -> int:
        """A string other than the narrative; kept only when it is a top-level key."""
        keep = self._depth == 1 and self._is_key
        special = _STRING_SPECIAL.search(text, pos)
        end = len(text) if special is None else special.start()
        if keep:
            self._key_parts.append(text[pos:end])
        if special is None:
            return end
        if special[0] == "\\":
            if end + 2 > len(text):
                return self._hold(text, end)
            if keep:
                self._key_parts.append(text[end : end + 2])
            return end + 2
        if keep:
            self._key = _decoded_key("".join(self._key_parts))
        self._state = _State.STRUCTURE
        return end + 1

    def _narrative(self, text: str, pos: int, out: list[str]) -> int:
        special = _STRING_SPECIAL.search(text, pos)
        if special is None:
            out.append(text[pos:])
            return len(text)
        end = special.start()
        out.append(text[pos:end])
        if special[0] == '"':
            self._state = _State.STRUCTURE
            return end + 1
        return self._escape(text, end, out)

    def _escape(self, text: str, pos: int, out: list[str]) -> int:
        """Decode the escape that starts at `pos`; hold it when it may be cut."""
        if pos + 2 > len(text):
            return self._hold(text, pos)
        kind = text[pos + 1]
        if kind != "u":
            if kind not in _ESCAPES:
                return self._give_up(text)
            out.append(_ESCAPES[kind])
            return pos + 2
        if pos + 6 > len(text):
            return self._hold(text, pos)
        unit = _code_unit(text, pos)
        if unit is None:
            return self._give_up(text)
        if not 0xD800 <= unit <= 0xDFFF:
            out.append(chr(unit))
            return pos + 6
        if unit >= 0xDC00:
            out.append(REPLACEMENT)
            return pos + 6
        return self._surrogate_pair(unit, text, pos, out)

    def _surrogate_pair(self, high: int, text: str, pos: int, out: list[str]) -> int:
        follow = text[pos + 6 : pos + 12]
        if len(follow) < 6 and "\\u".startswith(follow[:2]):
            return self._hold(text, pos)
        low = _code_unit(text, pos + 6) if follow.startswith("\\u") else None
        if low is not None and 0xDC00 <= low <= 0xDFFF:
            out.append(chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)))
            return pos + 12
        out.append(REPLACEMENT)
        return pos + 6

    def _give_up(self, text: str) -> int:
        """An escape that JSON does not have: the document is invalid, nothing more is certain."""
        self._state = _State.DONE
        return len(text)


def _code_unit(text: str, pos: int) -> int | None:
    digits = _HEX4.fullmatch(text, pos + 2, pos + 6)
    return int(digits[0], 16) if digits else None


def _decoded_key(raw: str) -> str:
    try:
        return str(json.loads(f'"{raw}"', strict=False))
    except ValueError:
        return raw
