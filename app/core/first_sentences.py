"""Opening sentences of a free-text answer that are left out."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from app.core.boilerplate import Opening, opening_of
from app.core.sentences import sentence_end

_ROLE = re.compile(r"(?:assistant|model)(?=[\s:])\s*", re.IGNORECASE)
_ROLE_LINE = re.compile(r"(?:assistant|model) *\n\s*")
MAX_LABEL: Final = 80
"""Characters of a speaker's name and the marks around it."""
MAX_SENTENCE: Final = 1_000
"""Characters of boilerplate without an end, which then is shown after all."""
_LABELS: Final = ("assistant", "ai", "bot", "co-host")
_ANALYSIS: Final = "analysis"
_FINAL: Final = "assistantfinal"


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
        every = "|".join(map(re.escape, (*filter(None, names), *_LABELS)))
        self._label = re.compile(
            rf"\*\*(?:{every})(?::\*\*|\*\*\s?:)\s*|(?:{every})\s?:\s*", re.IGNORECASE
        )
        self.forget()

    def forget(self) -> None:
        """Drop the held text: it belongs to something else."""
        self._held = ""
        self._role = False
        self._state = _State.UNDECIDED

    def role_may_follow(self) -> None:
        """A token of a chat template stands here, behind which a role is no text."""
        self._role = True

    def feed(self, text: str) -> str:
        """The next characters to show."""
        if self._state is _State.OPEN:
            return text
        self._held += text
        return self._decide(final=False)

    def flush(self) -> str:
        """The held text, since no more comes."""
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
        if (line := _ROLE_LINE.match(text)) is not None:  # the tokens around it were lost
            self._held = text[line.end() :]
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
        if len(text) > MAX_LABEL:
            return False
        begun = text.strip("* ").lower()
        labels = (*filter(None, self.names), *_LABELS, "model")
        return _ANALYSIS.startswith(text) or any(
            f"{label.lower()}:".startswith(begun) for label in labels
        )

    def _is_analysis(self, text: str) -> bool:
        following = text[len(_ANALYSIS) : len(_ANALYSIS) + 1]
        return text.startswith(_ANALYSIS) and following.isupper()

    def _skip_analysis(self, *, final: bool) -> bool:
        found = self._held.find(_FINAL)
        if found < 0:
            self._held = "" if final else self._held[-len(_FINAL) :]
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
