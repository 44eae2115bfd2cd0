"""Phase 1 of a table's turn: narrative, answer to the player, options, scene, always in this order.

The order is ours, whatever the model's is: what comes early is held back, nothing waits for what comes
later.
"""

from __future__ import annotations

from collections.abc import Callable

from app.core.events import Options, SceneShown, Token
from app.core.narrative import NarrativeBuffer
from app.core.outcome import DungeonMasterOutcome, Intents
from app.core.shortening import pieces
from app.core.table_outcome import (
    SceneMetadata,
    TableOutcome,
    parse_table_outcome,
    read_options,
    read_scene,
)
from app.core.writes import MAX_NARRATIVE
from app.errors import LLMResponseError
from app.turns.narration import Narration
from app.turns.observe import TokensStreamed
from app.turns.state import TurnState

MAX_ANSWER = MAX_NARRATIVE - len("\n\n")  # characters, narrative included


def show_options(turn: TurnState, options: tuple[str, ...]) -> None:
    """Once per generation; of a draft, they come with its approval."""
    if options and not turn.writer.drafts and "player_options" not in turn.writer.view.extras:
        turn.writer.append(Options(options))


def show_scene(turn: TurnState, scene: SceneMetadata | None) -> None:
    """Append the scene's event as `show_options` does, and never before the options."""
    if scene is not None and not turn.writer.drafts and "scene" not in turn.writer.view.extras:
        turn.writer.append(SceneShown(scene.shown, scene.dm_notes))


class _BothTexts:
    """Decodes the narrative and holds the answer back until the narrative is over. `decoded`: characters
    of the narrative.

    It does not know the narration: one that had a method of its own among its attributes would be left to
    the garbage collector, with its turn.
    """

    __slots__ = ("_held", "_narrative", "decoded", "response")

    def __init__(self, narrative: NarrativeBuffer) -> None:
        self._narrative = narrative
        self.response = NarrativeBuffer("player_response")
        self._held = ""
        self.decoded = 0

    def feed_all(self, deltas: list[str], text: str) -> tuple[str, int]:
        """See `NarrativeBuffer.feed_all`."""
        narrative, count = self._narrative.feed_all(deltas, text)
        self.decoded += len(narrative)
        response, more = self.response.feed_all(deltas, text)
        self._held += response
        released = ""
        if self._narrative.over and self._held:
            released, self._held = self._held, ""
            count = count or more or 1
        return narrative + released, count


class TableNarration(Narration):
    """Shows one text: the narrative, then the answer."""

    def __init__(
        self, turn: TurnState, narrative_bytes: int, observe: Callable[[TokensStreamed], None]
    ) -> None:
        super().__init__(turn, narrative_bytes, observe)
        self._texts = _BothTexts(self._buffer)
        self._pieces = 0

    def begin(self, *, moderated: bool) -> None:
        super().begin(moderated=moderated)
        self._texts = _BothTexts(self._buffer)
        self._decode = self._texts.feed_all
        self._previewed = True  # intents are shown with the end of the turn
        self._pieces = 0

    def read(self, deltas: list[str], text: str, now: float) -> str:
        unjudged = super().read(deltas, text, now)
        buffer = self._buffer
        self.over = buffer.closed or (self._is_prose_over and "player_options" in buffer.spans)
        if not self._moderated and self._is_prose_over:
            self._show_parts()
        return unjudged

    @property
    def _is_prose_over(self) -> bool:
        """Nothing that follows is prose: the answer is over, or there will be none."""
        buffer, response = self._buffer, self._texts.response
        return buffer.over and (response.over or response.absent or buffer.closed)

    def show(self, content: str, position: int, now: float) -> None:
        missing = max(self._texts.decoded - self._turn.writer.view.length, 0)
        super().show(content[:missing], position, now)
        answer, view = content[missing:], self._turn.writer.view
        if answer and len(view.player_response) + view.length + len(answer) > MAX_ANSWER:
            raise LLMResponseError("The answer to the player is too long; nothing was saved.")
        for piece in pieces(answer):
            self._turn.writer.append(Token(piece, self._pieces, "player_response"))
            self._pieces += 1

    def _show_parts(self) -> None:
        """Options and scene as soon as the model has closed them."""
        turn, spans, extras = self._turn, self._buffer.spans, self._turn.writer.view.extras
        if "player_options" in spans and "player_options" not in extras:
            show_options(turn, read_options(self.raw[slice(*spans["player_options"])]))
        if "scene" in spans and "scene" not in extras and "player_options" in extras:
            show_scene(turn, read_scene(self.raw[slice(*spans["scene"])]))

    def _parse(self, text: str) -> DungeonMasterOutcome:
        outcome = parse_table_outcome(text)
        self._texts.decoded = len(outcome.narrative)
        return outcome

    def repaired(self, intents: Intents) -> DungeonMasterOutcome:
        end = self._texts.decoded
        narrative, response = self.prose[:end], self.prose[end:]
        return TableOutcome(narrative=narrative, player_response=response or None, intents=intents)

    def _visible(self) -> str:
        return super()._visible() + self._turn.writer.view.player_response

    def _visible_of(self, outcome: DungeonMasterOutcome) -> str:
        response = outcome.player_response if isinstance(outcome, TableOutcome) else None
        return outcome.narrative + (response or "")
