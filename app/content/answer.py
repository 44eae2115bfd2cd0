"""The consumer of content: its text becomes the tokens of its turn, what stands beside it field events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.content.kind import Kind
from app.core.events import FieldShown
from app.core.prose import SpoiledNarrative
from app.core.results import Usage
from app.core.written import FieldsBuffer, NotWritten, Written, read_field, read_written
from app.errors import LLMResponseError
from app.ports.model import FailureKind
from app.turns.observe import TokensStreamed
from app.turns.repair import HiddenAnswer
from app.turns.state import TurnState
from app.turns.streamed_text import StreamedText

MAX_BYTES = 120_000


class ContentAnswer(StreamedText):
    """The answer while it streams. With moderation its fields are shown at the end only. `document`:
    the answer, once it is read."""

    def __init__(
        self, turn: TurnState, kind: Kind[Any, Any], observe: Callable[[TokensStreamed], None]
    ) -> None:
        super().__init__(turn, MAX_BYTES, observe, kind.text)
        self._kind = kind
        self._buffer = self._new_buffer()
        self._fields_shown: set[str] = set()
        self._unjudged: list[str] = []
        self.document: Written | None = None

    def _new_buffer(self) -> FieldsBuffer:
        return FieldsBuffer(self._kind.text, self._kind.others)

    @property
    def started(self) -> bool:
        return super().started or bool(self._fields_shown)

    @property
    def closed(self) -> bool:
        return self._buffer.closed

    def begin(self, *, moderated: bool) -> None:
        super().begin(moderated=moderated)
        self._buffer, self._unjudged, self.document = self._new_buffer(), [], None

    def read(self, deltas: list[str], text: str, now: float) -> str:
        self.heard(deltas)
        try:
            shown, count = self._buffer.feed_all(deltas, text)
        except SpoiledNarrative as error:
            raise LLMResponseError from error
        self.over = self._buffer.closed
        self.position += count
        if self._moderated:
            self._unjudged.append(shown)
            return shown
        self.show(shown, self.position, now)
        if len(self._buffer.spans) > len(self._fields_shown):
            self._show_fields()
        return ""

    def _show_fields(self) -> None:
        raw = self.raw
        for name, span in self._buffer.spans.items():
            if name not in self._fields_shown:
                self._show(name, read_field(self._kind.document, name, raw[slice(*span)]))

    def _show(self, name: str, value: Any) -> None:
        self._fields_shown.add(name)
        self._turn.writer.append(FieldShown(name, value))

    def show_rest(self, reply: dict[str, Any]) -> None:
        """The fields of the answer that were not shown yet."""
        for name, value in reply.items():
            if name != self._kind.text and name not in self._fields_shown:
                self._show(name, value)

    def finish(self, text: str, *, cut: FailureKind | None) -> str | None:
        shown = "".join(self._unjudged) if self._moderated else self._turn.narrative
        try:
            self.document = read_written(self._kind.document, self._kind.text, text)
        except NotWritten:
            return None
        whole = str(getattr(self.document, self._kind.text))
        if not whole.startswith(shown):
            raise LLMResponseError("The model changed its text; nothing was kept.")
        rest = whole[len(shown) :]
        self.position += bool(rest)
        return rest


class FurtherAnswer(HiddenAnswer):
    """Keeps a second answer and adds what it costs to the first."""

    def spend(self, usage: Usage) -> None:
        super().spend(usage)
        turn, known = self._turn, self._turn.usage  # with the cost of both
        names = ("input_tokens", "output_tokens", "total_tokens")
        sums = {name: getattr(known, name) + getattr(usage, name) for name in names}
        turn.usage = known.model_copy(update=sums)
