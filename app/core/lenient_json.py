"""JSON as careless models write it.

Beyond JSON it reads: invalid escapes (as the character itself), trailing and missing commas, comments,
single quotes, bare keys and words, Python's literals, quotes that were not escaped inside a text, and
one missing last brace.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from app.core.json_escapes import decode_text
from app.core.text import scrub_surrogates

MAX_DEPTH: Final = 150
MAX_KEY: Final = 100
_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?(?:\*/|\Z)|#[^\n]*)+", re.DOTALL)
_BARE = re.compile(r"[\w$.+-][\w$ .+'-]*")
_LITERALS: Final[dict[str, Any]] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "undefined": None,
    "nan": None,
}
_SURROGATE_ESCAPE = re.compile(r"\\u[dD]")
# strict=False: models write raw line breaks inside strings, and the stream has shown them already.
_DECODER = json.JSONDecoder(strict=False)


class NotJson(ValueError):
    """`incomplete`: the text ended inside the value."""

    def __init__(self, reason: str, *, incomplete: bool = False) -> None:
        super().__init__(reason)
        self.incomplete = incomplete


class Parsed(NamedTuple):
    """`end`: index behind the value."""

    value: Any
    end: int


def parse_json(text: str, pos: int = 0) -> Parsed:
    """The value that begins at `pos`. Raises `NotJson`."""
    try:
        value, end = _DECODER.raw_decode(text, pos)
    except RecursionError:
        raise NotJson("the answer is nested too deeply") from None
    except json.JSONDecodeError:
        return _Reader(text, pos).document()
    except ValueError:  # a number with thousands of digits
        raise NotJson("a number is out of range") from None
    # The text itself has no lone surrogates; only an escape can bring one.
    return Parsed(scrubbed(value) if _SURROGATE_ESCAPE.search(text, pos) else value, end)


def scrubbed(value: Any) -> Any:
    """The value without lone surrogates. Raises `NotJson` when it is nested too deeply."""
    try:
        return _scrubbed(value)
    except RecursionError:
        raise NotJson("the answer is nested too deeply") from None


def _scrubbed(value: Any) -> Any:
    match value:
        case str():
            return scrub_surrogates(value)
        case list():
            return [_scrubbed(item) for item in value]
        case dict():
            return {scrub_surrogates(key): _scrubbed(item) for key, item in value.items()}
        case _:
            return value


class Quote(Enum):
    """The role of a quotation mark inside a text value."""

    ENDS = auto()
    TEXT = auto()
    UNDECIDED = auto()


def quote_at(text: str, pos: int, *, final: bool) -> Quote:
    """Whether the value whose text stands in front of the quotation mark at `pos` ends there.

    It does where an object can go on behind it: a brace, or the next key. `final`: no more text comes.
    """
    at = _skip_blanks(text, pos + 1)
    if at < len(text) and text[at] == ",":
        at = _skip_blanks(text, at + 1)
        if at < len(text) and text[at] not in '"}]/#':
            return _key_follows(text, at, final=final)
    if at >= len(text):
        return Quote.ENDS if final else Quote.UNDECIDED
    if text[at] in "}]/#":
        return Quote.ENDS
    return _key_follows(text, at, final=final) if text[at] == '"' else Quote.TEXT


_QUOTED_KEY = re.compile(rf'"(?:[^"\\]|\\.){{0,{MAX_KEY}}}(?P<end>")?', re.DOTALL)
_BARE_KEY = re.compile(rf"[^\W\d]\w{{0,{MAX_KEY}}}")


def _key_follows(text: str, at: int, *, final: bool) -> Quote:
    undecided = Quote.TEXT if final else Quote.UNDECIDED
    key = (_QUOTED_KEY if text[at] == '"' else _BARE_KEY).match(text, at)
    if key is None:
        return Quote.TEXT
    if text[at] == '"' and key["end"] is None:
        whole = key.end() >= len(text) or (text[key.end()] == "\\" and key.end() + 1 >= len(text))
        return undecided if whole else Quote.TEXT
    behind = _skip_blanks(text, key.end())
    if behind >= len(text):
        return undecided
    return Quote.ENDS if text[behind] == ":" else Quote.TEXT


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


class _Reader:
    def __init__(self, text: str, pos: int) -> None:
        self._text = text
        self._pos = pos

    def document(self) -> Parsed:
        if not self._text.startswith(("{", "["), self._pos):
            raise NotJson("the answer holds no JSON object")
        value = self._value(0)
        return Parsed(scrubbed(value), self._pos)

    def _skip(self) -> str:
        """Pass blanks and comments; the next character, or nothing at the end."""
        if found := _SPACE.match(self._text, self._pos):
            self._pos = found.end()
        return self._text[self._pos : self._pos + 1]

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NotJson("the answer is nested too deeply")
        match self._skip():
            case "{":
                return self._object(depth)
            case "[":
                return self._list(depth)
            case '"' | "'" as quote:
                return self._string(quote, key=False)
            case "":
                raise NotJson("the answer ends too early", incomplete=True)
            case _:
                return self._bare()

    def _object(self, depth: int) -> dict[str, Any]:
        self._pos += 1
        found: dict[str, Any] = {}
        while True:
            match self._skip():
                case ",":
                    self._pos += 1
                case "}":
                    self._pos += 1
                    return found
                case "]" if depth:  # the brace is missing
                    return found
                case "":
                    return self._at_the_end(depth, found)
                case _ if found and not self._at_key():
                    return self._at_the_end(depth, found)
                case _:
                    key = self._key()
                    value = self._value(depth + 1)
                    found.setdefault(key, value)

    def _at_the_end(self, depth: int, found: dict[str, Any]) -> dict[str, Any]:
        """Only the last brace of all may be missing: else nobody knows what else is."""
        if depth == 0 and found:
            return found
        raise NotJson("the answer ends too early", incomplete=True)

    def _at_key(self) -> bool:
        return _KEY.match(self._text, self._pos) is not None

    def _key(self) -> str:
        found = _KEY.match(self._text, self._pos)
        if found is None:
            raise NotJson(f"a key is expected at {self._pos}")
        self._pos = found.end()
        quoted = found["double"] if found["double"] is not None else found["single"]
        return decode_text(quoted) if quoted is not None else found["bare"]

    def _list(self, depth: int) -> list[Any]:
        self._pos += 1
        found: list[Any] = []
        while True:
            match self._skip():
                case ",":
                    self._pos += 1
                case "]":
                    self._pos += 1
                    return found
                case "}" if depth:  # the bracket is missing
                    return found
                case "":
                    raise NotJson("the answer ends too early", incomplete=True)
                case '"' | "'" as quote:
                    found.append(self._string(quote, key=True))
                case _:
                    found.append(self._value(depth + 1))

    def _string(self, quote: str, *, key: bool) -> str:
        """`key`: it ends at the next quotation mark, as keys and items of lists do."""
        at = self._pos + 1
        while True:
            at = self._quote(quote, at)
            plain = key or quote == "'"
            if plain or quote_at(self._text, at, final=True) is Quote.ENDS:
                break
            at += 1
        raw, self._pos = self._text[self._pos + 1 : at], at + 1
        return decode_text(raw)

    def _quote(self, quote: str, at: int) -> int:
        """Index of the next quotation mark that no backslash precedes."""
        while (found := self._text.find(quote, at)) >= 0:
            before = found - 1
            while before >= at and self._text[before] == "\\":
                before -= 1
            if (found - before) % 2:
                return found
            at = found + 1
        raise NotJson("the answer ends too early", incomplete=True)

    def _bare(self) -> Any:
        found = _BARE.match(self._text, self._pos)
        if found is None:
            raise NotJson(f"a value is expected at {self._pos}")
        self._pos = found.end()
        word = found[0].strip()
        if word.lower() in _LITERALS:
            return _LITERALS[word.lower()]
        try:
            return json.loads(word, parse_constant=lambda _: None)
        except ValueError:
            return word


_KEY = re.compile(
    rf"(?:\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>[^\W\d]\w{{0,{MAX_KEY}}}))"
    r"\s*:",
    re.DOTALL,
)
