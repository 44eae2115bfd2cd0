"""The visible text of a free-text answer: without reasoning, tokens of chat templates and boilerplate.

`ChatFilter` is sans-I/O: feed it the model's text in pieces cut anywhere, get back what is certain by
now. Joined, the pieces are the same wherever the text was cut. It shares the reading of marks with the
narratives of turns (`app.core.prose`) and adds what free text needs: marks inside Markdown code are
code, a mark in square brackets counts only in capitals (`[THINK]`), sentences of boilerplate at the start
are left out (`app.core.boilerplate`), and a token that ends the turn ends the answer. Text is held only
while it may become a mark or the first words of such a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from app.core.first_sentences import FirstSentences
from app.core.markers import MAX_MARK, OPENING_BRACKETS, Meaning, mark_at
from app.core.prose import ProseFilter

_SPECIAL = re.compile(rf"[`{re.escape(OPENING_BRACKETS)}]")
_RUN = re.compile(r"`+")
_SQUARE = re.compile(r"\[/?[A-Z_]{2,40}\]")
_SQUARE_BEGUN = re.compile(r"\[/?[A-Z_]{0,40}")
_BARE_TEMPLATE = re.compile(r"<(?:/s|/?[a-z]+_[a-z_]+|eos|bos)>|\[/?INST\]")
_CALL = re.compile(r"[<\[][|｜]?(/?)(?:tool|function)_calls?[|｜]?[>\]]", re.IGNORECASE)
_WITHIN_TURN = re.compile(r"<[|｜](?:message|constrain|im_sep|pad)[|｜]>")
_FENCE: Final = 3
_BLANK_START: Final = " \t\r\n\f\v\u00a0\ufeff\u200b"


class ChatFilter(ProseFilter):
    """`names`: of the speakers that may answer; such a name and a colon at the start are left out.

    `thinks_first`: the model is known to end reasoning that it never began, so that nothing is shown
    before that end. Raises `SpoiledNarrative` where such an end comes after text was shown.
    """

    __slots__ = (
        "_began_text",
        "_blank",
        "_closed",
        "_code",
        "_first",
        "_raw",
        "_started",
        "_struck",
        "_tail",
        "_wrapped",
        "thinks_first",
    )

    def __init__(self, names: Iterable[str] = (), *, thinks_first: bool = False) -> None:
        super().__init__()
        self._first = FirstSentences(tuple(names))
        self._closed = False  # what follows is another turn of the conversation
        self._code = ""  # the backticks that end the code in which the text is
        self._began_text = False  # outside of reasoning
        self._blank = True  # the current line has nothing visible yet
        self._tail = ""  # white space, which counts once something follows
        self._started = False
        self._raw: list[str] | None = [] if thinks_first else None
        self.thinks_first = thinks_first
        self._wrapped = False  # a mark stands around the answer
        self._struck = False  # HTML that looks like a token was shown
        self._depth = int(thinks_first)

    def feed(self, text: str) -> str:
        if self._raw is not None:
            self._raw.append(text)
        if self._closed:
            return ""
        if not self._began:  # what is left out at the start need not be held
            text = text.lstrip(_BLANK_START)
        return self._shown(self._first.feed(super().feed(text)))

    @property
    def waits(self) -> bool:
        """Whether nothing was shown since the reasoning that was never begun has not ended."""
        return self._raw is not None and self._depth > 0

    def flush(self) -> str:
        """The held text, since no more comes."""
        if self._raw is not None and self.waits:
            return _all(ChatFilter(self._first.names), "".join(self._raw))
        if self._held.startswith("`"):
            held, self._held = self._held, ""
            rest = held
        else:
            rest = super().flush()
        return self._shown(self._first.feed(rest) + self._first.flush())

    def _shown(self, text: str) -> str:
        text = self._tail + text
        visible = text.rstrip()
        self._started = self._started or bool(visible)
        tail = text[len(visible) :] if self._started else ""
        if len(tail) > MAX_MARK:  # so much is no slip, and must not be read again each time
            self._tail = ""
            return text
        self._tail = tail
        return visible

    # -- marks and code ---------------------------------------------------------------------------

    def _visible(self, text: str) -> str:
        shown: list[str] = []
        pos = 0
        while pos < len(text):
            if self._code:
                pos = self._inside_code(text, pos, shown)
            else:
                pos = self._outside_code(text, pos, shown)
            if pos < 0:
                break
        visible = "".join(shown)
        if visible:
            self._blank = self._is_blank(visible)
            self._began_text = self._began_text or bool(visible.strip())
        return visible

    def _is_blank(self, visible: str) -> bool:
        """Whether a line is still blank behind `visible`."""
        line = visible.rpartition("\n")
        return (bool(line[1]) or self._blank) and not line[2].strip(" \t>-*")

    def _outside_code(self, text: str, pos: int, shown: list[str]) -> int:
        """The next index; -1: the rest is held."""
        found = _SPECIAL.search(text, pos)
        end = len(text) if found is None else found.start()
        if not self._depth:
            shown.append(text[pos:end])
        if found is None:
            return end
        if found[0] != "`":
            after = self._pass_mark(text, end, shown)
        elif self._depth:
            after = end + 1
        else:
            after = self._open_code(text, end, shown)
        if after < 0:
            self._held = text[end:]
        return after

    def _open_code(self, text: str, at: int, shown: list[str]) -> int:
        run = _RUN.match(text, at)
        if run is None or run.end() == len(text):
            return -1  # it may be longer
        fence = len(run[0]) >= _FENCE and self._is_blank("".join(shown))
        self._code = f"\n{run[0]}" if fence else run[0]
        shown.append(run[0])
        return run.end()

    def _inside_code(self, text: str, pos: int, shown: list[str]) -> int:
        """Code ends at as many backticks as it began with, in a line at the line's end at the latest."""
        fence, ticks = self._code.startswith("\n"), self._code.lstrip("\n")
        found = re.compile(r"`+" if fence else r"`+|\n").search(text, pos)
        if found is None:
            shown.append(text[pos:])
            return len(text)
        shown.append(text[pos : found.start()])
        if found[0] != "\n" and found.end() == len(text):
            self._held = text[found.start() :]
            return -1
        if found[0] == "\n" or (
            len(found[0]) >= len(ticks) and self._is_blank("".join(shown))
            if fence
            else found[0] == ticks
        ):
            self._code = ""
        shown.append(found[0])
        return found.end()

    def _pass_mark(self, text: str, at: int, shown: list[str]) -> int:
        if text[at] == "[" and _SQUARE.match(text, at) is None:
            if _SQUARE_BEGUN.fullmatch(text, at) is not None:
                return -1
            if not self._depth:
                shown.append("[")
            return at + 1
        mark = mark_at(text, at)
        if mark is not None and (call := _CALL.match(text, at)) is not None:
            self._depth = max(self._depth - 1, int(self.waits)) if call[1] else self._depth + 1
            return mark.end
        if (
            mark is not None
            and not self._depth
            and self._is_wrapping(mark.meaning, text, at, shown)
        ):
            if mark.meaning is Meaning.TEMPLATE and _WITHIN_TURN.match(text, at) is None:
                return self._pass_turn(text, mark.end, shown)
            return mark.end
        end = super()._pass_mark(text, at, shown)
        if not self._depth:
            self._raw = None
        return end

    def _pass_turn(self, text: str, end: int, shown: Sequence[str]) -> int:
        """A turn begins or ends: in front of the answer a role may follow, behind it another turn, which
        the model has made up."""
        if self._is_first(shown):
            self._first.role_may_follow()
            return end
        self._closed = True
        return len(text)

    def _is_wrapping(self, meaning: Meaning, text: str, at: int, shown: Sequence[str]) -> bool:
        """Whether the mark stands around the answer and is none of its own."""
        match meaning:
            case Meaning.TEMPLATE if text.startswith("<s>", at):
                self._struck = True
                return False
            case Meaning.TEMPLATE if self._struck and text.startswith("</s>", at):
                return False
            case Meaning.TEMPLATE:
                return text[at + 1] in "|｜[" or _BARE_TEMPLATE.match(text, at) is not None
            case Meaning.ANSWER:
                self._wrapped = self._is_first(shown)
                return self._wrapped
            case Meaning.ANSWER_END:
                return self._wrapped
            case _:
                return False

    def _is_first(self, shown: Sequence[str]) -> bool:
        """Whether no text stands in front of the mark, not even such as is held."""
        return not self._began_text and not "".join(shown).strip()

    def _end_without_begin(self, shown: list[str]) -> None:
        if self._started or self._shown(self._first.feed("".join(shown))):
            super()._end_without_begin(shown)
        shown.clear()
        self._code, self._blank, self._tail, self._began_text = "", True, "", False
        self._first.forget()


def _all(text_filter: ChatFilter, text: str) -> str:
    return text_filter.feed(text) + text_filter.flush()


def visible_chat(text: str, names: Iterable[str] = ()) -> str:
    """The visible text of a whole answer. Raises `SpoiledNarrative`."""
    return _all(ChatFilter(names), text)
