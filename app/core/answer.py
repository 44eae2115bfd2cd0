"""Finds the answer in a model's text.

Only what follows the last end of reasoning is the answer. An answer that begins with a brace or a code
fence, at once or behind reasoning whose begin and end are known, is read from there. Anything else is
read once the whole text is there: then the last whole document behind the last end of reasoning counts.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from app.core.lenient_json import NotJson, parse_json
from app.core.markers import (
    OPENING_BRACKETS,
    Mark,
    Meaning,
    is_thought,
    mark_at,
    may_become_mark,
)

MAX_ATTEMPTS: Final = 100
MAX_FRUITLESS: Final = 4
"""Braces that are tried as the begin of a document, and how often the rest of the text may be read in
vain: so the cost stays linear."""

_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060\x00"
_FENCE = re.compile(r"`{3,8}[\w+-]{0,20}")
_MAX_FENCE: Final = 28
_LIST = re.compile(r"\[\s*(?=\{)")
_ROLE = re.compile(r"(?:assistant|model)(?=\s|[<{]|$)")
_ROLE_BEGIN = re.compile(r"a(?:s(?:s(?:i(?:s(?:t(?:a(?:n)?)?)?)?)?)?)?|m(?:o(?:d(?:e)?)?)?")
_INTERESTING = re.compile(rf"[{{{re.escape(OPENING_BRACKETS)}]|assistantfinal|{_FENCE.pattern}")


class Next(Enum):
    """The beginning of an undecided text."""

    DOCUMENT = auto()
    THOUGHT = auto()
    OTHER = auto()
    UNDECIDED = auto()


class Preamble(NamedTuple):
    """`pos`: of the document, behind the mark of the thought, or of what is undecided or unknown."""

    next: Next
    pos: int


def skip_preamble(text: str, pos: int, *, final: bool = False) -> Preamble:
    """Pass what may stand in front of a document without a meaning of its own.

    `final`: no more text comes, so that nothing is undecided.
    """
    role_after = (
        -1
    )  # begin of a token of a chat template, behind which the name of a role may follow
    while pos < len(text):
        character = text[pos]
        if character.isspace() or character in _INVISIBLE:
            pos += 1
        elif character == "{":
            return Preamble(Next.DOCUMENT, pos)
        elif character == "[" and (listed := _LIST.match(text, pos)):
            pos = listed.end()
        elif role_after >= 0 and (role := _ROLE.match(text, pos)):
            pos = role.end()
            if pos < len(text):
                role_after = -1
        elif character in OPENING_BRACKETS or character == "`":
            passed = _pass_mark(text, pos, final=final)
            if isinstance(passed, Preamble):
                return passed
            role_after = pos if passed.meaning is Meaning.TEMPLATE else -1
            pos = passed.end
        else:
            undecided = role_after >= 0 and not final and _ROLE_BEGIN.fullmatch(text, pos)
            return Preamble(Next.UNDECIDED, role_after) if undecided else Preamble(Next.OTHER, pos)
    return Preamble(Next.UNDECIDED, pos if role_after < 0 else role_after)


def _pass_mark(text: str, pos: int, *, final: bool) -> Preamble | Mark:
    """The harmless mark at `pos`, or what its begin decides."""
    fence = _FENCE.match(text, pos)
    mark = mark_at(text, pos) if fence is None else _fence_mark(fence)
    if mark is None:
        begun = may_become_mark(text, pos) or not text[pos + 1 :].strip(" `")
        return Preamble(Next.UNDECIDED if begun and not final else Next.OTHER, pos)
    longest = fence is not None and len(text) - pos < _MAX_FENCE
    if mark.end == len(text) and not final and longest:
        return Preamble(Next.UNDECIDED, pos)  # it may be longer
    if mark.meaning is Meaning.THOUGHT:
        return Preamble(Next.THOUGHT, mark.end)
    unknown = mark.meaning in (Meaning.UNKNOWN, Meaning.UNKNOWN_END)
    return Preamble(Next.OTHER, pos) if unknown else mark


def _fence_mark(fence: re.Match[str]) -> Mark:
    thought = is_thought(fence[0].strip("`"))
    return Mark(Meaning.UNKNOWN if thought else Meaning.ANSWER, fence.end())


class ThoughtDepth:
    """Follows nested reasoning up to its matching end."""

    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 1

    def skip(self, text: str, pos: int) -> tuple[int, int]:
        """`(pos, safe)`: behind the matching end, or the text's end; `safe`: what follows it may be
        half a mark. Look at `depth` to know which."""
        while True:
            found = _MARKS.search(text, pos)
            if found is None:
                return len(text), len(text)
            mark = mark_at(text, found.start())
            if mark is None:
                if may_become_mark(text, found.start()):
                    return len(text), found.start()
                pos = found.start() + 1
                continue
            pos = mark.end
            if mark.meaning is Meaning.THOUGHT:
                self.depth += 1
            elif mark.meaning is Meaning.THOUGHT_END:
                self.depth -= 1
            elif mark.meaning in (Meaning.ANSWER, Meaning.FINAL_CHANNEL):
                self.depth = 0
            if not self.depth:
                return pos, pos


_MARKS = re.compile(rf"[{re.escape(OPENING_BRACKETS)}]")


def read_document(text: str, main: str = "narrative") -> dict[str, Any]:
    """The document of the answer, without what is wrapped around it; it has the field `main`. Raises
    `NotJson`."""
    pos = _direct(text)
    if pos is not None:
        try:
            value, end = parse_json(text, pos)
            document = unwrapped(value, main)
        except NotJson as error:
            if error.incomplete:
                raise
            document = None
        if document is not None:
            if "intents" not in document and text[pos:end].rstrip()[-1:] != "}":
                raise NotJson("the answer ends too early", incomplete=True)
            return document
    document = _last_document(text, main)
    if document is not None:
        return document
    quoted = _quoted(text)
    if quoted is not None:
        return read_document(quoted, main)
    if pos is not None:  # whatever is wrong with it is what the error names
        value = parse_json(text, pos).value
        return value if isinstance(value, dict) else {}
    raise NotJson("the answer holds no JSON object")


def _direct(text: str) -> int | None:
    """The position of the document, if players may read it while it streams."""
    pos = 0
    while True:
        found = skip_preamble(text, pos, final=True)
        if found.next is Next.DOCUMENT:
            return found.pos
        if found.next is not Next.THOUGHT:
            return None
        thought = ThoughtDepth()
        pos, _ = thought.skip(text, found.pos)
        if thought.depth:
            return None


_ENDS_OF_REASONING: Final = frozenset(
    {Meaning.THOUGHT_END, Meaning.UNKNOWN_END, Meaning.ANSWER, Meaning.FINAL_CHANNEL}
)


def _last_document(text: str, main: str) -> dict[str, Any] | None:
    """The last whole document behind the last end of reasoning."""
    found: dict[str, Any] | None = None
    open_thought = fenced = False
    attempts = fruitless = pos = 0
    while (spot := _INTERESTING.search(text, pos)) is not None:
        pos = spot.end()
        if spot[0] == "{":
            attempts += 1
            if attempts > MAX_ATTEMPTS or fruitless > MAX_FRUITLESS:
                return None
            try:
                value, pos = parse_json(text, spot.start())
            except NotJson as error:
                fruitless += error.incomplete
                continue
            found = unwrapped(value, main) or found
            continue
        if spot[0][0] == "`":
            closes = fenced and spot[0].strip("`") == ""
            fenced = _fence_mark(spot).meaning is Meaning.UNKNOWN or (fenced and not closes)
            open_thought, found = fenced or (open_thought and not closes), None if closes else found
            continue
        mark = mark_at(text, spot.start())
        meaning = Meaning.FINAL_CHANNEL if spot[0] == "assistantfinal" else mark and mark.meaning
        pos = mark.end if mark else pos
        if meaning is Meaning.THOUGHT:
            open_thought = True
        elif meaning in _ENDS_OF_REASONING:
            found, open_thought = None, False
    return None if open_thought or _untagged_analysis(text) else found


_ANALYSIS = re.compile(r"\s*analysis(?=[A-Z])")


def _untagged_analysis(text: str) -> bool:
    """Reasoning of a Harmony model whose special tokens were lost, without its end."""
    return _ANALYSIS.match(text) is not None and "assistantfinal" not in text


def unwrapped(value: Any, main: str = "narrative", depth: int = 3) -> dict[str, Any] | None:
    """The object with the field `main` in `value`: itself, alone in a list, or the only one in an object
    that holds further fields: a tool's name, a status, thoughts. What is named as a thought is none.
    """
    if isinstance(value, str):
        return _decoded(value, main)
    if isinstance(value, list) and value:
        return unwrapped(value[0], main, depth - 1) if depth else None
    if not isinstance(value, dict):
        return None
    if main in value:
        return value
    lowered = {key.strip().lower(): part for key, part in reversed(value.items())}
    if main in lowered:
        return lowered
    named = value.items() if depth else ()
    inner = [unwrapped(part, main, depth - 1) for name, part in named if not is_thought(name)]
    found = [document for document in inner if document is not None]
    return found[0] if len(found) == 1 else None


def _decoded(text: str, main: str) -> dict[str, Any] | None:
    """A document that was encoded once more."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return unwrapped(parse_json(text.lstrip()).value, main)
    except NotJson:
        return None


def _quoted(text: str) -> str | None:
    """The text inside an answer that is one JSON string."""
    stripped = text.strip()
    if not stripped.startswith('"'):
        return None
    try:
        value = parse_json(stripped).value
    except NotJson:
        return None
    return value if isinstance(value, str) and value.lstrip().startswith("{") else None
