"""The consumer of an answer: cleaned text becomes the tokens of its turn."""

from __future__ import annotations

from collections.abc import Callable

from app.core.chat_text import ChatFilter
from app.core.prose import SpoiledNarrative
from app.errors import LLMResponseError
from app.ports.model import FailureKind
from app.turns.observe import TokensStreamed
from app.turns.state import TurnState
from app.turns.streamed_text import StreamedText

MAX_ANSWER_BYTES = 50_000


PATIENCE = 3


class Habits:
    """Which models end reasoning that they never began; what they write is held until that end. One that
    does not, `PATIENCE` answers in a row, has lost the habit: a single message could have led it there."""

    def __init__(self) -> None:
        self._patience: dict[str, int] = {}

    def thinks_first(self, model: str) -> bool:
        """Whether the model is known to do so."""
        return model in self._patience

    def learn(self, model: str) -> None:
        """It has done so."""
        self._patience[model] = PATIENCE

    def missed(self, model: str) -> None:
        """It was expected to, and has not."""
        left = self._patience.pop(model, 0) - 1
        if left > 0:
            self._patience[model] = left


class ChatAnswer(StreamedText):
    """`names`: of those who may answer. `model`: whose habits count."""

    def __init__(
        self,
        turn: TurnState,
        names: tuple[str, ...],
        model: str,
        habits: Habits,
        observe: Callable[[TokensStreamed], None],
    ) -> None:
        super().__init__(turn, MAX_ANSWER_BYTES, observe)
        self._names = names
        self._model = model
        self._habits = habits
        self._filter = self._new_filter()
        self.closed = False
        self.visible = False

    def _new_filter(self) -> ChatFilter:
        return ChatFilter(self._names, thinks_first=self._habits.thinks_first(self._model))

    def begin(self, *, moderated: bool) -> None:
        super().begin(moderated=moderated)
        self._filter, self.visible = self._new_filter(), False

    def read(self, deltas: list[str], text: str, now: float) -> str:
        self.heard(deltas)
        try:
            shown = self._filter.feed(text)
        except SpoiledNarrative as error:
            shown = self._read_again(error)
        if not shown:
            return ""
        self.visible = True
        self.position += len(deltas)
        if self._moderated:
            return shown
        self.show(shown, self.position, now)
        return ""

    def _read_again(self, error: SpoiledNarrative) -> str:
        """The text read so far, once it is known to begin with reasoning. Raises `LLMResponseError`
        where some of it was shown, since that cannot be taken back."""
        self._habits.learn(self._model)
        if self.visible:
            raise LLMResponseError(
                "The model showed its reasoning as its answer; nothing was kept. The next answers of "
                "this model are held until its reasoning has ended."
            ) from error
        self._filter = self._new_filter()
        return self._filter.feed(self.raw)

    def finish(self, text: str, *, cut: FailureKind | None) -> str | None:
        """An answer that ends at a bound on its tokens is one; a broken one is not."""
        if cut not in (None, FailureKind.CUT_OFF):
            return None
        if self._filter.thinks_first:
            (self._habits.missed if self._filter.waits else self._habits.learn)(self._model)
        rest = self._filter.flush()
        self.position += bool(rest)
        self.visible = self.visible or bool(rest)
        return rest if self.visible else None
