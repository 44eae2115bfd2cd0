"""One small turn, asked of a model outside the service."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.core.context import CharacterProgress, Context, PlayerState
from app.core.messages import Message, Prompt
from app.core.narrative import NarrativeBuffer
from app.core.outcome import InvalidOutcome, parse_outcome
from app.core.policy import PolicyDecision, Roll
from app.core.prompt import Scene, build_prompt
from app.core.prose import SpoiledNarrative
from app.core.results import Usage
from app.ports.call import CallMeta
from app.ports.model import Flow, ModelRequest, ProbedModel

MOST_CHARACTERS: Final = 20_000
"""Of an answer; a model that writes more will not come to an end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`first` and `seconds`: from the request to the first text and to the last. `pieces`: upstream reads
    that brought text. `form`: the one in which the server was asked.
    """

    text: str
    usage: Usage | None
    first: float
    seconds: float
    pieces: int
    form: str | None
    streamed: bool

    @property
    def readable(self) -> bool:
        """Whether a turn would accept it."""
        try:
            parse_outcome(self.text)
        except InvalidOutcome:
            return False
        return True


class _Reader:
    """Takes the text, until the document in it is closed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buffer = NarrativeBuffer()
        self.parts: list[str] = []
        self.pieces = 0
        self.first: float | None = None
        self.last: float | None = None

    def read(self, deltas: list[str]) -> Flow:
        self.last = self._clock()
        self.first = self.last if self.first is None else self.first
        self.pieces += 1
        text = "".join(deltas)
        self.parts.append(text)
        try:
            self._buffer.feed(text)
        except SpoiledNarrative:
            return Flow.STOP
        long = sum(map(len, self.parts)) > MOST_CHARACTERS
        return Flow.STOP if self._buffer.closed or long else Flow.STREAM


async def ask(
    model: ProbedModel, request: ModelRequest, clock: Callable[[], float], *, stream: bool
) -> Answer:
    """Raises `ModelFailed`."""
    reader, began = _Reader(clock), clock()
    if stream:
        end = await model.stream(request, reader.read)
    else:
        text, end = await model.complete(request)
        reader.read([text])
    first, last = reader.first or clock(), reader.last or clock()
    return Answer(
        "".join(reader.parts),
        end.usage,
        first - began,
        last - began,
        reader.pieces,
        model.form,
        stream,
    )


def small_turn(bound: int | None = None) -> ModelRequest:
    """A turn of a new character. `bound`: on output tokens."""
    quiet = PolicyDecision(Roll(False, False), Roll(False, False))
    context = Context(character_id="doctor", player_state=PlayerState())
    scene = Scene(context, CharacterProgress(), quiet, (), "I look around.")
    return ModelRequest(build_prompt(scene), _meta(), bound)


def long_prompt(tokens: int) -> ModelRequest:
    """A request of about `tokens` tokens for an answer of next to none."""
    text = "Answer with the word yes.\n" + "no " * tokens
    return ModelRequest(Prompt((Message("user", text),)), _meta(), 16)


def _meta() -> CallMeta:
    return CallMeta(str(uuid.uuid4()))
