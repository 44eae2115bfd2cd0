"""What people read of a free-text answer: no reasoning, no tokens of chat templates, no boilerplate.

`ChatFilter` is sans-I/O: feed it the model's text in pieces cut anywhere, get back what is certain by
now. Joined, the pieces are the same wherever the text was cut. It shares the reading of marks with the
narratives of turns (`app.core.prose`) and adds what free text needs: marks inside Markdown code are
code, a mark in square brackets counts only in capitals (`[THINK]`), and sentences of boilerplate at the
start are left out (`app.core.boilerplate`). Text is held only while it may become a mark or the first
words of such a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final

from app.core.boilerplate import Opening, opening_of
from app.core.markers import OPENING_BRACKETS, Meaning, mark_at
from app.core.prose import ProseFilter
from app.core.sentences import sentence_end

_SPECIAL = re.compile(rf"[`{re.escape(OPENING_BRACKETS)}]")
_RUN = re.compile(r"`+")
_SQUARE = re.compile(r"\[/?[A-Z_]{2,40}\]")
_SQUARE_BEGUN = re.compile(r"\[/?[A-Z_]{0,40}")
_BARE_TEMPLATE = re.compile(r"<(?:/s|/?[a-z]+_[a-z_]+|eos|bos)>")
_ROLE = re.compile(r"(?:assistant|model)(?=[\s:])\s*", re.IGNORECASE)
_FENCE: Final = 3
MAX_SENTENCE: Final = 1_000
"""Characters of boilerplate without an end, which then is shown after all."""
_ANALYSIS: Final = "analysis"
_FINAL: Final = "assistantfinal"


class ChatFilter(ProseFilter):
    """`names`: of the speakers that may answer; such a name and a colon at the start are left out.

    `thinks_first`: the model is known to end reasoning that it never began, so that nothing is shown
    before that end. Raises `SpoiledNarrative` where such an end comes after text was shown.
    """

    __slots__ = (
        "_blank",
        "_code",
        "_first",
        "_raw",
        "_started",
        "_tail",
        "_thinks_first",
        "_wrapped",
    )

    def __init__(self, names: Iterable[str] = (), *, thinks_first: bool = False) -> None:
        super().__init__()
        self._first = FirstSentences(tuple(names))
        self._code = ""  # the backticks that end the code in which the text is
        self._blank = True  # the current line has nothing visible yet
        self._tail = ""  # white space, which counts once something follows
        self._started = False
        self._raw: list[str] | None = [] if thinks_first else None
        self._thinks_first = thinks_first
        self._wrapped = False  # a mark stands around the answer
        self._depth = int(thinks_first)

    def feed(self, text: str) -> str:
        if self._raw is not None:
            self._raw.append(text)
        return self._shown(self._first.feed(super().feed(text)))

    def flush(self) -> str:
        """What was held, now that no more text comes."""
        if self._raw is not None and self._depth and self._thinks_first:
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
        self._tail = text[len(visible) :] if visible or self._started else ""
        self._started = self._started or bool(visible)
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
        told = "".join(shown)
        if told:
            self._blank = self._is_blank(told)
        return told

    def _is_blank(self, told: str) -> bool:
        """Whether a line is still blank behind `told`."""
        line = told.rpartition("\n")
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
        if (
            mark is not None
            and not self._depth
            and self._is_wrapping(mark.meaning, text, at, shown)
        ):
            if mark.meaning is Meaning.TEMPLATE:
                self._first.role_may_follow()
            return mark.end
        return super()._pass_mark(text, at, shown)

    def _is_wrapping(self, meaning: Meaning, text: str, at: int, shown: Sequence[str]) -> bool:
        """Whether the mark stands around the answer and is none of its own."""
        match meaning:
            case Meaning.TEMPLATE:
                return text[at + 1] in "|｜[" or _BARE_TEMPLATE.match(text, at) is not None
            case Meaning.ANSWER:
                self._wrapped = not self._started and not "".join(shown).strip()
                return self._wrapped
            case Meaning.ANSWER_END:
                return self._wrapped
            case _:
                return False

    def _end_without_begin(self, shown: list[str]) -> None:
        if self._started or self._shown(self._first.feed("".join(shown))):
            super()._end_without_begin(shown)
        shown.clear()
        self._code, self._blank, self._tail = "", True, ""
        self._first.forget()


class _State(Enum):
    UNDECIDED = auto()
    DROPPING = auto()
    ANALYSIS = auto()
    OPEN = auto()


class FirstSentences:
    """Leaves out what stands in front of an answer: the speaker's name, boilerplate, and the reasoning of
    a Harmony model whose special tokens were lost."""

    __slots__ = ("_held", "_label", "_role", "_state", "names")

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.names = names
        every = "|".join(
            map(re.escape, (*filter(None, names), "assistant", "ai", "bot", "co-host"))
        )
        self._label = re.compile(rf"(?:\*\*)?(?:{every})(?:\*\*)?\s?:(?:\*\*)?\s*", re.IGNORECASE)
        self.forget()

    def forget(self) -> None:
        """What was held until now belongs to something else."""
        self._held = ""
        self._role = False
        self._state = _State.UNDECIDED

    def role_may_follow(self) -> None:
        """A token of a chat template stands here, behind which a role is no text."""
        if self._state is _State.UNDECIDED and not self._held.strip():
            self._role = True

    def feed(self, text: str) -> str:
        """The next characters to show."""
        if self._state is _State.OPEN:
            return text
        self._held += text
        return self._decide(final=False)

    def flush(self) -> str:
        """What was held, now that no more text comes."""
        if self._state is _State.OPEN:
            return ""
        return self._decide(final=True)

    def _decide(self, *, final: bool) -> str:
        while self._held:
            match self._state:
                case _State.UNDECIDED:
                    waits = self._undecided(final=final)
                case _State.DROPPING:
                    waits = self._drop(final=final)
                case _State.ANALYSIS:
                    waits = self._skip_analysis(final=final)
                case _State.OPEN:
                    shown, self._held = self._held, ""
                    return shown
            if waits:
                return ""
        return ""

    def _undecided(self, *, final: bool) -> bool:
        """Whether more text decides."""
        self._held = text = self._held.lstrip()
        if not text:
            return True
        if self._role and (role := _ROLE.match(text)) is not None:
            self._held, self._role = text[role.end() :], False
            return False
        if (label := self._label.match(text)) is not None:
            if label.end() == len(text) and not final:
                return True
            self._held = text[label.end() :]
            return False
        if self._is_analysis(text):
            self._state = _State.ANALYSIS
            return False
        if not final and self._may_be_label(text):
            return True
        match opening_of(text, final=final):
            case Opening.BOILERPLATE:
                self._state = _State.DROPPING
            case Opening.CONVERSATION:
                self._state = _State.OPEN
            case Opening.UNDECIDED:
                return True
        return False

    def _may_be_label(self, text: str) -> bool:
        """Whether it may become a name and a colon, a role or `analysis`."""
        begun = text.strip("* ").lower()
        labels = (*self.names, "assistant", "ai", "bot", "co-host", "model")
        return any(label.lower().startswith(begun) for label in labels if label) or (
            _ANALYSIS.startswith(text)
        )

    def _is_analysis(self, text: str) -> bool:
        following = text[len(_ANALYSIS) : len(_ANALYSIS) + 1]
        return text.startswith(_ANALYSIS) and following.isupper()

    def _skip_analysis(self, *, final: bool) -> bool:
        found = self._held.find(_FINAL)
        if found < 0:
            if final:
                self._held = ""
            return True
        self._held = self._held[found + len(_FINAL) :]
        self._state = _State.UNDECIDED
        return False

    def _drop(self, *, final: bool) -> bool:
        end = sentence_end(self._held, final=final)
        if end < 0 and len(self._held) <= MAX_SENTENCE:
            return True
        if end >= 0:
            self._held = self._held[end:]
        self._state = _State.UNDECIDED if end >= 0 else _State.OPEN
        return False


def _all(text_filter: ChatFilter, text: str) -> str:
    return text_filter.feed(text) + text_filter.flush()


def visible_chat(text: str, names: Iterable[str] = ()) -> str:
    """What is to be read of a whole answer. Raises `SpoiledNarrative`."""
    return _all(ChatFilter(names), text)
