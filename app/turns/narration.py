"""Phase 1: the narrative of a turn, decoded from the model's JSON and shown as it forms."""

from __future__ import annotations

from collections.abc import Callable

from app.core.events import Preview
from app.core.narrative import NarrativeBuffer
from app.core.outcome import DungeonMasterOutcome, InvalidOutcome, parse_intents, parse_outcome
from app.core.prose import SpoiledNarrative
from app.core.results import Usage
from app.core.writes import MAX_NARRATIVE
from app.errors import LLMResponseError
from app.turns.observe import TOKENS_PER_REPORT, TokensStreamed
from app.turns.state import TurnState

# A narrative byte can take six characters of JSON (\u00e9); the rest of an outcome needs less than
# the allowance, private reasoning in front of it included.
_RAW_PER_NARRATIVE_BYTE = 6
_RAW_ALLOWANCE = 400_000


def raw_characters(narrative_bytes: int) -> int:
    """How much a model may write for a narrative of that many bytes."""
    return narrative_bytes * _RAW_PER_NARRATIVE_BYTE + _RAW_ALLOWANCE


class Narration:
    """The consumer of a turn's generation: tokens, a preview of the intents, usage.

    With moderation the intents are shown at the end only.
    """

    def __init__(
        self, turn: TurnState, narrative_bytes: int, observe: Callable[[TokensStreamed], None]
    ) -> None:
        self._turn = turn
        self._bytes_left = narrative_bytes
        self._observe = observe
        self._buffer = NarrativeBuffer()
        self._moderated = False
        self._shown = 0  # narrative deltas
        self._previewed = False
        self._next_report = TOKENS_PER_REPORT
        self._unjudged: list[str] = []  # what was decoded, where it is moderated
        self.outcome: DungeonMasterOutcome | None = None
        self.over = False
        self.position = 0  # narrative deltas decoded so far

    @property
    def started(self) -> bool:
        return bool(self._turn.writer.view.parts)

    @property
    def raw(self) -> str:
        return "".join(self._turn.heard)

    def begin(self, *, moderated: bool) -> None:
        """A call begins; what an earlier one has previewed stays."""
        turn = self._turn
        self._buffer, self._moderated = NarrativeBuffer(), moderated
        self._previewed = turn.writer.view.previewed
        self._shown = self.position = turn.deltas = 0
        self._unjudged = []
        self.outcome = None
        self.over = False
        turn.heard, turn.heard_at_once = [], []

    def read(self, deltas: list[str], text: str, now: float) -> str:
        turn, buffer = self._turn, self._buffer
        turn.deltas += len(deltas)
        turn.heard += deltas
        turn.heard_at_once.append(len(deltas))
        try:
            narrative, count = buffer.feed_all(deltas, text)
        except SpoiledNarrative as error:
            raise LLMResponseError from error
        self.position += count
        self.over = buffer.over
        if self._moderated:
            self._unjudged.append(narrative)
            return narrative
        if self._previewed or (span := buffer.intents_span) is None:
            if narrative:
                self.show(narrative, self.position, now)
        elif self.over:
            self.show(narrative, self.position, now)
            self._preview(span)
        else:  # what was complete before the narrative comes first
            self._preview(span)
            self.show(narrative, self.position, now)
        return ""

    def show(self, content: str, position: int, now: float) -> None:
        if not content:
            return
        turn, view = self._turn, self._turn.writer.view
        self._bytes_left -= len(content) if content.isascii() else len(content.encode())
        if view.length + len(content) > MAX_NARRATIVE or self._bytes_left < 0:
            raise LLMResponseError("The narrative is too long; nothing was saved.")
        if turn.first_token is None:
            turn.first_token = now
        turn.writer.append_token(content, self._shown)
        self._shown = view.tokens = position
        if position >= self._next_report:
            self._next_report = position + TOKENS_PER_REPORT
            self._observe(TokensStreamed(turn))

    def _preview(self, span: tuple[int, int]) -> None:
        self._previewed = True
        intents = parse_intents(self.raw[slice(*span)])
        if intents is not None:
            self._turn.writer.append(Preview(intents.model_dump()))

    @property
    def closed(self) -> bool:
        return self._buffer.closed

    def finish(self, text: str, *, cut: bool) -> str | None:
        try:
            self.outcome = outcome = parse_outcome(text)
        except InvalidOutcome:
            return None
        shown = "".join(self._unjudged) if self._moderated else self._turn.narrative
        if not outcome.narrative.startswith(shown):
            raise LLMResponseError("The model changed its narrative; nothing was saved.")
        rest = outcome.narrative[len(shown) :]
        self.position += bool(rest)
        return rest

    def spend(self, usage: Usage) -> None:
        turn = self._turn
        turn.usage = usage
        turn.tokens_spent = (turn.tokens_spent or 0) + usage.total_tokens
