"""The narrative, decoded as it forms inside a streamed JSON outcome.

`NarrativeBuffer` is sans-I/O: feed it the model's text in pieces cut anywhere, get back the characters
of the narrative, or of another text beside it, that are certain by now. Joined, they are always a prefix
of the text that reading the whole answer gives (`app.core.outcome.parse_outcome`). Where the document
begins is decided as `app.core.answer` says; what can be decided at the end only is not returned at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from app.core.answer import Next, ThoughtDepth, skip_preamble
from app.core.json_escapes import decode_escape, decode_text
from app.core.lenient_json import Quote, quote_at
from app.core.markers import OPENING_BRACKETS
from app.core.prose import ProseFilter

_STRUCTURE = re.compile(r'["{}\[\],:]|//|/\*|#')
# Inside a value, only brackets count; all before one is left behind at once, strings too, unless they
# have an escape or go on in the next piece. Possessive: nothing is read twice.
_NESTED = re.compile(r'(?:[^{}\[\]"/]++|"[^"\\]*+"|/(?=[^/*]))*+([{}\[\]]|//|/\*|"[^"\\]*+)?')
_STRING_SPECIAL = re.compile(r'["\\]')
_SPECIAL = re.compile(rf'["\\{re.escape(OPENING_BRACKETS)}]')


class _State(Enum):
    PREAMBLE, REASONING, STRUCTURE, COMMENT, STRING, NARRATIVE, HELD, DONE = range(8)


# An attribute of an Enum class takes Python 3.11 ten times as long as a global name.
_PREAMBLE, _REASONING, _IN_STRUCTURE, _IN_COMMENT, _IN_STRING, _IN_NARRATIVE, _HELD, _DONE = _State


class NarrativeBuffer:
    """Incremental scanner of one answer, for the text of one top-level `field`.

    `spans` are the half-open ranges of code points, counted from the first one fed, that the values of
    the top-level lists and objects `intents`, `player_options` and `scene` occupy, from when the model
    has closed them. `over`: the text has been closed, what follows holds none of it. `absent`: something
    that is no text stands in its place, such as null. `closed`: the document is whole, what follows does
    not count.
    """

    # fmt: off
    __slots__ = (
        "_bare", "_begun", "_closing", "_depth", "_field", "_is_key", "_key", "_key_parts",
        "_pending", "_plain", "_prose", "_span_at", "_state", "_thought", "absent", "fed", "over", "spans",
    )
    # fmt: on

    _spanned = frozenset({"intents", "player_options", "scene"})

    def __init__(self, field: str = "narrative") -> None:
        self._field = field
        self._state = _PREAMBLE
        self._pending = ""  # text that cannot be decided yet: a cut escape, a cut mark
        self._closing = ""  # of a comment
        self._thought = ThoughtDepth()
        self._depth = 0
        self._is_key = False
        self._bare = False  # something that is no string stands behind the colon
        self._key = ""
        self._key_parts: list[str] = []
        self._begun = False
        self._plain = False  # text without special characters is narrative as it is
        self._prose = ProseFilter(NarrativeBuffer if field == "narrative" else None)
        self._span_at = -1
        self.over = False
        self.absent = False
        self.fed = 0
        self.spans: dict[str, tuple[int, int]] = {}

    @property
    def closed(self) -> bool:
        return self._state is _DONE

    def feed(self, text: str) -> str:
        """The next characters of the narrative; empty when `text` holds none.

        Raises `SpoiledNarrative` where reasoning ends inside the narrative: what was shown was none.
        """
        return self.feed_all((text,), text)[0]

    def feed_all(self, pieces: Sequence[str], joined: str) -> tuple[str, int]:
        """Feed many at once, which are also given joined. Returns what `feed` would have returned
        for them, joined, and for how many of them it would not have been empty."""
        if self._plain and _SPECIAL.search(joined) is None:  # as it is with most reads
            self.fed += len(joined)
            return joined, len(pieces) - pieces.count("")
        shown_parts: list[str] = []
        for number, piece in enumerate(pieces):
            if self._plain and _SPECIAL.search(piece) is None:
                self.fed += len(piece)
                shown = piece
            elif self.over:
                self._scan("".join(pieces[number:]))
                break
            else:
                shown = self._scan(piece)
            if shown:
                shown_parts.append(shown)
        return "".join(shown_parts), len(shown_parts)

    def _scan(self, text: str) -> str:
        self.fed += len(text)
        text = self._pending + text
        self._pending = ""
        decoded: list[str] = []
        pos = 0
        while pos < len(text):
            state = self._state
            if state is _IN_STRUCTURE:
                pos = self._structure(text, pos)
            elif state is _IN_NARRATIVE:
                pos = self._narrative(text, pos, decoded)
            elif state is _IN_STRING:
                pos = self._string(text, pos)
            elif state is _PREAMBLE:
                pos = self._preamble(text, pos)
            elif state is _REASONING:
                pos = self._reasoning(text, pos)
            elif state is _IN_COMMENT:
                pos = self._comment(text, pos)
            else:
                break
        narrative = self._state is _IN_NARRATIVE
        shown = self._prose.feed("".join(decoded)) if decoded else ""
        if self._begun and not narrative and not self.over:
            self.over = True
            shown += self._prose.flush()
        self._plain = narrative and not self._pending and self._prose.plain
        return shown

    def _hold(self, text: str, pos: int) -> int:
        self._pending = text[pos:]
        return len(text)

    def _preamble(self, text: str, pos: int) -> int:
        found = skip_preamble(text, pos)
        match found.next:
            case Next.DOCUMENT:
                self._state = _IN_STRUCTURE
            case Next.THOUGHT:
                self._state, self._thought = _REASONING, ThoughtDepth()
            case Next.OTHER:
                self._state = _HELD
            case Next.UNDECIDED:
                return self._hold(text, found.pos)
        return found.pos

    def _reasoning(self, text: str, pos: int) -> int:
        pos, safe = self._thought.skip(text, pos)
        if self._thought.depth:
            return self._hold(text, safe)
        self._state = _PREAMBLE
        return pos

    def _structure(self, text: str, pos: int) -> int:
        if self._depth > 1:
            return self._nested(text, pos)
        found = _STRUCTURE.search(text, pos)
        if self._depth and text[pos : None if found is None else found.start()].strip(" \n\r\t/"):
            self._bare = True
        if found is None:
            return self._hold(text, len(text) - 1) if text.endswith("/") else len(text)
        pos = found.end()
        match found[0]:
            case '"':
                self._open_string(text, pos)
            case ",":
                self._is_key = True
                if self._bare and self._key == self._field:
                    self.absent = not self._begun
            case ":":
                self._is_key = self._bare = False
            case mark:
                self._turn(mark, text, pos)
        return pos

    def _nested(self, text: str, pos: int) -> int:
        found = _NESTED.match(text, pos)
        assert found is not None  # it matches nothing, too
        pos, mark = found.end(), found[1]
        if mark is None:
            return self._hold(text, pos) if pos < len(text) else pos  # half the mark of a comment
        if mark[0] == '"':  # a string that is not over
            self._state = _IN_STRING
        else:
            self._turn(mark, text, pos)
        return pos

    def _turn(self, mark: str, text: str, pos: int) -> None:
        """Follow a bracket, or the mark of a comment, that ends at `pos`."""
        match mark:
            case "{" | "[":
                self._open(text, pos)
            case "}" | "]":
                self._close(text, pos)
            case "/*":
                self._state, self._closing = _IN_COMMENT, "*/"
            case _:
                self._state, self._closing = _IN_COMMENT, "\n"

    def _comment(self, text: str, pos: int) -> int:
        end = text.find(self._closing, pos)
        if end < 0:
            return self._hold(text, len(text) - 1) if text.endswith("*") else len(text)
        self._state = _IN_STRUCTURE
        return end + len(self._closing)

    def _open(self, text: str, pos: int) -> None:
        if self._depth == 1 and self._key in self._spanned:
            self._span_at = self._absolute(text, pos) - 1
        self._depth += 1
        self._is_key = self._depth == 1

    def _close(self, text: str, pos: int) -> None:
        self._depth -= 1
        self._is_key = self._depth == 1
        if self._depth == 1:
            self._end_span(text, pos)
        if self._depth <= 0:
            self._state = _DONE if self._begun else _HELD

    def _end_span(self, text: str, pos: int) -> None:
        if self._span_at >= 0:
            self.spans.setdefault(self._key, (self._span_at, self._absolute(text, pos)))
            self._span_at = -1

    def _absolute(self, text: str, pos: int) -> int:
        return self.fed - len(text) + pos

    def _open_string(self, text: str, pos: int) -> None:
        value = self._depth == 1 and not self._is_key and not self._bare
        if value and self._key == self._field and not self._begun:
            self._state, self._begun = _IN_NARRATIVE, True
        else:
            self._state = _IN_STRING
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
        if not keep and self._depth == 1:  # a value, in which a quotation mark may not be escaped
            match quote_at(text, end, final=False):
                case Quote.UNDECIDED:
                    return self._hold(text, end)
                case Quote.TEXT:
                    return end + 1
                case Quote.ENDS:
                    pass
        if keep:
            self._key = decode_text("".join(self._key_parts))
        elif self._depth == 1:
            self._end_span(text, end + 1)
        self._is_key = not self._is_key  # a comma may be missing
        self._state = _IN_STRUCTURE
        return end + 1

    def _narrative(self, text: str, pos: int, out: list[str]) -> int:
        special = _STRING_SPECIAL.search(text, pos)
        if special is None:
            out.append(text[pos:])
            return len(text)
        end = special.start()
        out.append(text[pos:end])
        if special[0] == "\\":
            return self._escape(text, end, out)
        match quote_at(text, end, final=False):
            case Quote.UNDECIDED:
                return self._hold(text, end)
            case Quote.TEXT:
                out.append('"')
            case Quote.ENDS:
                self._state, self._is_key = _IN_STRUCTURE, True
        return end + 1

    def _escape(self, text: str, pos: int, out: list[str]) -> int:
        """Decode the escape that starts at `pos`; hold it when it may be cut."""
        decoded, end = decode_escape(text, pos)
        if end == pos:
            return self._hold(text, pos)
        out.append(decoded)
        return end
