"""Phase 1: the narrative of a turn, decoded from the model's JSON and shown as it forms."""

from __future__ import annotations

from collections.abc import Callable

from app.core.events import Preview
from app.core.narrative import NarrativeBuffer
from app.core.outcome import (
    DungeonMasterOutcome,
    Intents,
    InvalidOutcome,
    parse_intents,
    parse_outcome,
)
from app.core.prose import SpoiledNarrative
from app.core.text import has_visible
from app.errors import LLMResponseError
from app.ports.model import FailureKind
from app.turns.observe import TokensStreamed
from app.turns.state import TurnState
from app.turns.streamed_text import StreamedText

# A narrative byte can take six characters of JSON (\u00e9); the rest of an outcome needs less than
# the allowance, private reasoning in front of it included.
_RAW_PER_NARRATIVE_BYTE = 6
_RAW_ALLOWANCE = 400_000


def raw_characters(narrative_bytes: int) -> int:
    """The most characters that a model may write for a narrative of that many bytes."""
    return narrative_bytes * _RAW_PER_NARRATIVE_BYTE + _RAW_ALLOWANCE


Decode = Callable[[list[str], str], tuple[str, int]]


class Narration(StreamedText):
    """The consumer of a turn's generation: tokens, a preview of the intents, usage.

    With moderation the intents are shown at the end only.
    """

    def __init__(
        self, turn: TurnState, narrative_bytes: int, observe: Callable[[TokensStreamed], None]
    ) -> None:
        super().__init__(turn, narrative_bytes, observe)
        self._buffer = NarrativeBuffer()
        self._decode: Decode = self._buffer.feed_all
        self._previewed = False
        self._unjudged: list[str] = []  # what was decoded, where it is moderated
        self.outcome: DungeonMasterOutcome | None = None
        self.prose = ""
        """The narrative of a closed document that is no outcome otherwise."""

    def begin(self, *, moderated: bool) -> None:
        """A call begins; what an earlier one has previewed stays."""
        super().begin(moderated=moderated)
        self._buffer = NarrativeBuffer()
        # What is visible of a read, and of how many deltas; no method, which would be a call more a token.
        self._decode = self._buffer.feed_all
        self._previewed = self._turn.writer.view.previewed
        self._unjudged = []
        self.outcome, self.prose = None, ""

    def read(self, deltas: list[str], text: str, now: float) -> str:
        turn, buffer = self._turn, self._buffer
        turn.deltas += len(deltas)  # as `heard` does, without a call for each token
        turn.heard += deltas
        turn.heard_at_once.append(len(deltas))
        try:
            narrative, count = self._decode(deltas, text)
        except SpoiledNarrative as error:
            raise LLMResponseError from error
        self.over = buffer.over
        self.position += count
        if self._moderated:
            self._unjudged.append(narrative)
            return narrative
        if self._previewed or (span := buffer.spans.get("intents")) is None:
            if narrative:
                self.show(narrative, self.position, now)
        elif self.over:
            self.show(narrative, self.position, now)
            self._preview(span)
        else:  # what was complete before the narrative comes first
            self._preview(span)
            self.show(narrative, self.position, now)
        return ""

    def _preview(self, span: tuple[int, int]) -> None:
        self._previewed = True
        intents = parse_intents(self.raw[slice(*span)], self._turn.narrative)
        if intents is not None:
            self._turn.writer.append(Preview(intents.model_dump()))

    @property
    def closed(self) -> bool:
        return self._buffer.closed

    def finish(self, text: str, *, cut: FailureKind | None) -> str | None:
        shown = "".join(self._unjudged) if self._moderated else self._visible()
        try:
            self.outcome = outcome = self._parse(text)
        except InvalidOutcome:
            # Only a closed document counts: what was cut, bridges call complete.
            complete = self._buffer.closed and has_visible(shown)
            self.prose = shown if complete else ""
            return "" if complete else None
        whole = self._visible_of(outcome)
        if not whole.startswith(shown):
            raise LLMResponseError("The model changed its narrative; nothing was saved.")
        rest = whole[len(shown) :]
        self.position += bool(rest)
        return rest

    def _parse(self, text: str) -> DungeonMasterOutcome:
        """Raises `InvalidOutcome`."""
        return parse_outcome(text)

    def repaired(self, intents: Intents) -> DungeonMasterOutcome:
        """The outcome of an answer of which only the prose could be read."""
        return DungeonMasterOutcome(narrative=self.prose, intents=intents)

    def _visible(self) -> str:
        """All that was shown."""
        return self._turn.narrative

    def _visible_of(self, outcome: DungeonMasterOutcome) -> str:
        """All that is to be shown of an outcome."""
        return outcome.narrative

    def has_shown(self, outcome: DungeonMasterOutcome) -> bool:
        """Whether what was shown is, character for character, what is persisted."""
        return self._visible() == self._visible_of(outcome)
