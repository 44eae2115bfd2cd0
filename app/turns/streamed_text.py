"""Text of a model that becomes the tokens of a turn: the part that all consumers of turns share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.core.results import Usage
from app.core.writes import MAX_NARRATIVE
from app.errors import LLMResponseError
from app.turns.observe import TOKENS_PER_REPORT, TokensStreamed
from app.turns.state import TurnState


@dataclass(eq=False)
class StreamedText:
    """Shows text as tokens of `turn`, bounds its length, and books what the model has used.

    `position`: deltas decoded so far that had visible text. `field`: of the tokens; None is the narrative.
    """

    _turn: TurnState
    _bytes_left: int
    _observe: Callable[[TokensStreamed], None]
    _field: str | None = None
    _moderated: bool = field(default=False, init=False)
    _shown: int = field(default=0, init=False)  # deltas
    _next_report: int = field(default=TOKENS_PER_REPORT, init=False)
    over: bool = field(default=False, init=False)
    position: int = field(default=0, init=False)

    @property
    def started(self) -> bool:
        return bool(self._turn.writer.view.parts)

    @property
    def raw(self) -> str:
        return "".join(self._turn.heard)

    def begin(self, *, moderated: bool) -> None:
        """A call begins."""
        turn = self._turn
        self._moderated = moderated
        self._shown = self.position = turn.deltas = 0
        self.over = False
        turn.heard, turn.heard_at_once = [], []

    def heard(self, deltas: list[str]) -> None:
        """Take note of one upstream read."""
        turn = self._turn
        turn.deltas += len(deltas)
        turn.heard += deltas
        turn.heard_at_once.append(len(deltas))

    def show(self, content: str, position: int, now: float) -> None:
        if not content:
            return
        turn, view = self._turn, self._turn.writer.view
        self._bytes_left -= len(content) if content.isascii() else len(content.encode())
        if view.length + len(content) > MAX_NARRATIVE or self._bytes_left < 0:
            raise LLMResponseError("The narrative is too long; nothing was saved.")
        if turn.first_token is None:
            turn.first_token = now
        turn.writer.append_token(content, self._shown, self._field)
        self._shown = view.tokens = position
        if position >= self._next_report:
            self._next_report = position + TOKENS_PER_REPORT
            self._observe(TokensStreamed(turn))

    def spend(self, usage: Usage) -> None:
        self._turn.usage = usage
        self._turn.pay(usage)
