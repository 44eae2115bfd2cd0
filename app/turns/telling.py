"""Phase 1: one model call, its narrative decoded and shown as it forms.

Three rules decide what a failure means. Before the answer began, a transient failure is retried
with exponential backoff. Once it began and before a character of narrative was shown, the same
prompt is tried once without streaming. After that nothing is tried again: what players have read
cannot be told differently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.events import Preview
from app.core.intents import texts_of
from app.core.narrative import NarrativeBuffer
from app.core.outcome import Intents, parse_intents
from app.core.prompt import Prompt
from app.core.results import Usage
from app.core.text import SurrogateJoiner
from app.core.writes import MAX_NARRATIVE
from app.errors import (
    DungeonMasterError,
    LLMError,
    LLMResponseError,
    LLMTimeout,
    LLMUnavailable,
)
from app.generation.fair_limiter import FairLimiter
from app.generation.moderation import ModerationBuffer
from app.ports.model import ModelEnd, ModelFailed, NarrativeModel
from app.ports.moderation import Moderator
from app.retrying import Backoff, retrying
from app.turns.observe import (
    TOKENS_PER_REPORT,
    CallOutcome,
    ModelCalled,
    Observer,
    TokensStreamed,
    unobserved,
)
from app.turns.state import TurnState


@dataclass(frozen=True, slots=True)
class TellingLimits(Backoff):
    """`seconds`: of the whole phase. `hold_characters`: how much narrative is held back where it is
    moderated.
    """

    streaming: bool = True
    seconds: float = 600.0
    narrative_bytes: int = 50_000
    hold_characters: int = 200


_Attempt = Callable[[NarrativeModel, TurnState, Prompt], Awaitable[str]]

# A narrative byte can take six characters of JSON (\u00e9); the rest of an outcome needs less than
# the allowance, private reasoning in front of it included.
RAW_PER_NARRATIVE_BYTE = 6
RAW_ALLOWANCE = 400_000
MAX_RETRY_AFTER = 60.0


class Teller:
    """`models`: the first tells; each next one takes over when those before it cannot begin.

    `record_gap` is given the seconds between two upstream reads of one stream. With a `moderator`
    the narrative is held back until it was judged, and intents are shown only at the end.
    """

    def __init__(
        self,
        models: Sequence[NarrativeModel],
        slots: FairLimiter,
        limits: TellingLimits,
        observe: Observer = unobserved,
        record_gap: Callable[[float], None] = lambda _: None,
        moderator: Moderator | None = None,
    ) -> None:
        self.moderator = moderator
        self._models = models
        self._slots = slots
        self.limits = limits
        self.observe = observe
        self.record_gap = record_gap

    def hold_back(self) -> ModerationBuffer | None:
        if self.moderator is None:
            return None
        return ModerationBuffer(
            self.moderator, max(self.limits.hold_characters, self.moderator.longest_phrase)
        )

    async def judge(self, intents: Intents) -> None:
        """Raises `LLMResponseError` when players may not read what they say."""
        told, hold = " | ".join(texts_of(intents)), self.hold_back()
        if hold is not None and told:
            await hold.judge(told)

    async def tell(self, turn: TurnState, prompt: Prompt) -> str:
        """The model's whole text. Raises `LLMError`, `LLMTimeout`, `LLMResponseError`, `Overloaded`."""
        async with self._slots.hold(turn.request.user_id):
            try:
                async with asyncio.timeout(self.limits.seconds):
                    return await self._first_that_can(turn, prompt)
            except TimeoutError:
                raise LLMTimeout("The model took too long to finish its answer.") from None
            except ModelFailed as failure:
                raise _as_error(failure) from failure

    async def _first_that_can(self, turn: TurnState, prompt: Prompt) -> str:
        *others, last = self._models
        for model in others:
            try:
                return await self._tell(model, turn, prompt)
            except ModelFailed as failure:
                if failure.response or turn.writer.view.parts:
                    raise
        return await self._tell(last, turn, prompt)

    async def _tell(self, model: NarrativeModel, turn: TurnState, prompt: Prompt) -> str:
        if not self.limits.streaming:
            return await self._retried(model, turn, prompt, self._whole)
        try:
            return await self._retried(model, turn, prompt, self._streamed)
        except ModelFailed as failure:
            broken = failure.opened and not failure.response
            if turn.writer.view.parts or not (broken or failure.no_streaming):
                raise
            return await self._whole(model, turn, prompt)

    async def _retried(
        self, model: NarrativeModel, turn: TurnState, prompt: Prompt, attempt: _Attempt
    ) -> str:
        return await retrying(lambda: attempt(model, turn, prompt), self.limits, _worth_retrying)

    async def _streamed(self, model: NarrativeModel, turn: TurnState, prompt: Prompt) -> str:
        call = _Call(self, model, turn, prompt)
        try:
            answer = model.stream(prompt, turn.meta, call.read)
            end = await (call.judged(answer) if call.holds else answer)
            await call.release_rest()
            return call.ended(end)
        except BaseException as error:
            call.failed(error)
            raise

    async def _whole(self, model: NarrativeModel, turn: TurnState, prompt: Prompt) -> str:
        call = _Call(self, model, turn, prompt)
        try:
            text, end = await model.complete(prompt, turn.meta)
            call.read([text])
            await call.release_rest()
            return call.ended(end)
        except BaseException as error:
            call.failed(error)
            raise


class _Call:
    """One model call: what was read, decoded, shown."""

    def __init__(
        self, teller: Teller, model: NarrativeModel, turn: TurnState, prompt: Prompt
    ) -> None:
        self._teller = teller
        self._prompt = prompt
        self._model = model
        self._turn = turn
        self._limits = teller.limits
        self._clock = turn.clock.monotonic
        self._record_gap = teller.record_gap
        self._began = self._clock()
        self._last_read: float | None = None
        self._joiner = SurrogateJoiner()
        self._buffer = NarrativeBuffer()
        self._raw_left = self._limits.narrative_bytes * RAW_PER_NARRATIVE_BYTE + RAW_ALLOWANCE
        self._bytes = 0
        self._over = False  # the narrative is complete
        self._index = 0  # narrative deltas decoded so far
        self._hold = teller.hold_back()
        self.holds = self._hold is not None
        self._unjudged: list[str] = []
        self._news: asyncio.Event | None = None  # something to judge, or the answer is over
        self._released = 0  # narrative deltas shown so far, where they are held back
        self._next_report = TOKENS_PER_REPORT
        self._previewed = turn.writer.view.previewed  # by a call that broke off
        turn.deltas = 0
        turn.heard, turn.heard_at_once = [], []

    def read(self, deltas: list[str]) -> bool:
        """One upstream read. What it adds to the narrative leaves as one event, at once. True once
        the narrative is complete."""
        now = self._clock()
        if self._last_read is not None and not self._over:
            self._record_gap(now - self._last_read)
        self._last_read = now
        self._turn.deltas += len(deltas)
        text = deltas[0] if len(deltas) == 1 else "".join(deltas)
        if not self._joiner.passes(text):
            deltas = [joined for delta in deltas if (joined := self._joiner.feed(delta))]
            text = "".join(deltas)
        self._turn.heard += deltas
        self._turn.heard_at_once.append(len(deltas))
        self._raw_left -= len(text)
        first = self._index
        narrative, count = self._buffer.feed_all(deltas, text)
        self._index += count
        self._over = self._buffer.over
        if self.holds:
            self._unjudged.append(narrative)
            if self._news is not None:
                self._news.set()
        elif self._previewed or (span := self._buffer.intents_span) is None:
            self._show(narrative, first, now)
        elif self._over:
            self._show(narrative, first, now)
            self._preview(span)
        else:  # what was complete before the narrative is shown before it
            self._preview(span)
            self._show(narrative, first, now)
        if self._raw_left < 0:
            raise LLMResponseError("The model's answer is too long; nothing was saved.")
        return self._over

    async def judged(self, answer: Coroutine[Any, Any, ModelEnd]) -> ModelEnd:
        """The answer's end, with what is held back judged and shown while it is read."""
        self._news = news = asyncio.Event()
        reading = asyncio.create_task(answer)
        reading.add_done_callback(lambda _: news.set())
        try:
            while not reading.done():
                await news.wait()
                news.clear()
                await self.release()
            return reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def release(self) -> None:
        """Judge what was held back and show what is safe. Raises `LLMResponseError`."""
        text, self._unjudged = "".join(self._unjudged), []
        read = self._index  # more is read while this is judged
        if self._hold is not None and text:
            self._show_released(await self._hold.push(text), read)

    async def release_rest(self) -> None:
        if self._hold is not None:
            await self.release()
            self._show_released(await self._hold.flush(), self._index)

    def _show_released(self, content: str, read: int) -> None:
        if content:
            self._show(content, self._released, self._clock())
            self._released = read

    def _show(self, content: str, index: int, now: float) -> None:
        if not content:
            return
        turn = self._turn
        points = turn.writer.view.length + len(content)
        self._bytes += len(content) if content.isascii() else len(content.encode())
        if points > MAX_NARRATIVE or self._bytes > self._limits.narrative_bytes:
            raise LLMResponseError("The narrative is too long; nothing was saved.")
        if turn.first_token is None:
            turn.first_token = now
        turn.writer.append_token(content, index)
        turn.writer.view.tokens = self._index
        if self._index >= self._next_report:
            self._next_report = self._index + TOKENS_PER_REPORT
            self._teller.observe(TokensStreamed(turn))

    def _preview(self, span: tuple[int, int]) -> None:
        self._previewed = True
        intents = parse_intents("".join(self._turn.heard)[slice(*span)])
        if intents is not None:
            self._turn.writer.append(Preview(intents.model_dump()))

    def ended(self, end: ModelEnd) -> str:
        text = "".join(self._turn.heard) + self._joiner.flush()
        self._spent(end.usage or _estimated(self._prompt, text, end.model))
        self._observed("ok")
        return text

    def failed(self, error: BaseException) -> None:
        """A call that was refused cost nothing; one that had begun cost what it read and wrote."""
        refused = isinstance(error, ModelFailed) and not error.opened and not error.timeout
        model = self._model.name
        if isinstance(error, ModelFailed) and error.usage is not None:
            self._spent(error.usage)
        elif refused:
            self._spent(Usage(model=model, estimated=True))
        else:
            self._spent(_estimated(self._prompt, "".join(self._turn.heard), model))
        self._observed(_call_outcome(error))

    def _spent(self, usage: Usage) -> None:
        self._turn.usage = usage
        self._turn.tokens_spent = (self._turn.tokens_spent or 0) + usage.total_tokens

    def _observed(self, outcome: CallOutcome) -> None:
        model = self._model
        seconds = self._clock() - self._began
        self._teller.observe(ModelCalled(self._turn, model.api, model.name, outcome, seconds))


def _estimated(prompt: Prompt, text: str, model: str) -> Usage:
    """Four characters a token, the usual rule of thumb for English."""
    read = (len(prompt.instructions) + len(prompt.input)) // 4
    written = len(text) // 4
    return Usage(
        model=model,
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        estimated=True,
    )


def _worth_retrying(error: Exception) -> bool | float:
    """Whether to try again; a number is the provider's own Retry-After in seconds."""
    if not isinstance(error, ModelFailed) or not error.transient or error.opened:
        return False
    if error.retry_after is not None:
        return min(error.retry_after, MAX_RETRY_AFTER)
    return True


def _call_outcome(error: BaseException) -> CallOutcome:
    match error:
        case ModelFailed(timeout=True):
            return "timeout"
        case ModelFailed(response=True) | LLMResponseError():
            return "invalid"
        case ModelFailed(transient=True) | ModelFailed(unavailable=True):
            return "unavailable"
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return "failed"


def _as_error(failure: ModelFailed) -> DungeonMasterError:
    if failure.unavailable:
        return LLMUnavailable(retry_after=failure.retry_after)
    if failure.timeout:
        return LLMTimeout()
    if failure.response:
        return LLMResponseError(f"{failure}; nothing was saved.")
    return LLMError(f"The model failed: {failure}.")
