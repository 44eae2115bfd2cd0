"""Text of a model that becomes the tokens of a turn: the part that all consumers of turns share."""

from __future__ import annotations

from collections.abc import Callable

from app.core.results import Usage
from app.core.writes import MAX_NARRATIVE
from app.errors import LLMResponseError
from app.turns.observe import TOKENS_PER_REPORT, TokensStreamed
from app.turns.state import TurnState


class StreamedText:
    """Shows text as tokens of `turn`, bounds its length, and books what the model has used.

    `position`: deltas decoded so far that had visible text. `field`: of the tokens; None is the narrative.
    """

    def __init__(
        self,
        turn: TurnState,
        max_bytes: int,
        observe: Callable[[TokensStreamed], None],
        field: str | None = None,
    ) -> None:
        self._turn = turn
        self._bytes_left = max_bytes
        self._observe = observe
        self._field = field
        self._moderated = False
        self._shown = 0  # deltas
        self._next_report = TOKENS_PER_REPORT
        self.over = False
        self.position = 0

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
