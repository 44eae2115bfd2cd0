"""Failures of the model: a retry, an attempt without streaming, or the end; and the events meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import stamina.instrumentation
from app.adapters.event_log.memory import MemoryTurnLog
from app.core.context import CharacterProgress, Context, PlayerState
from app.core.messages import Message, Prompt
from app.core.money import Amount
from app.core.policy import PolicyDecision, Roll
from app.core.prompt import Scene
from app.core.results import Usage
from app.errors import (
    DungeonMasterError,
    LLMError,
    LLMResponseError,
    LLMTimeout,
    LLMUnavailable,
    Overloaded,
)
from app.eventlog.writer import LogWriter
from app.generation.fair_limiter import FairLimiter
from app.generation.observe import ModelCalled
from app.generation.request import GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.call import CallMeta
from app.ports.clock import Clock
from app.ports.model import FailureKind, Flow, ModelEnd, ModelFailed, ModelRequest, OnDelta
from app.ports.store import Claim, TurnRequest
from app.turns.narration import Narration
from app.turns.observe import Observation, TokensStreamed
from app.turns.state import TurnState

from fakes.model import META, NARRATIVE, POI_CREATE, cut, outcome_text

TEXT = outcome_text()
USAGE = Usage(model="m", input_tokens=3, output_tokens=4, total_tokens=7)
END = ModelEnd(USAGE, "m")
QUICK = GenerationLimits(delay_base=0.001, delay_max=0.004)
Piece = list[str] | ModelFailed | ModelEnd
Call = list[Piece]


def _prompt() -> Prompt:
    context = Context(character_id="c", player_state=PlayerState())
    decision = PolicyDecision(Roll(False, False), Roll(False, False))
    scene = Scene(context, CharacterProgress(), decision, (), "go")
    return Prompt((Message("system", "i" * 400), Message("user", "p" * 40)), hints=scene)


PROMPT = _prompt()


class ScriptedModel:
    """Each call takes the next script; `asked` says how each was asked for."""

    api = "chat"

    def __init__(self, *calls: Call, name: str = "scripted") -> None:
        self.name = name
        self.calls = list(calls)
        self.asked: list[str] = []
        self.metas: list[CallMeta] = []
        self.open = 0

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        self._asked("stream", request.meta)
        self.open += 1
        try:
            for piece in self.calls.pop(0):
                if isinstance(piece, ModelFailed):
                    raise piece
                if isinstance(piece, ModelEnd):
                    return piece
                on_delta(piece)
                await asyncio.sleep(0)
        finally:
            self.open -= 1
        raise ModelFailed("the stream ended too early", FailureKind.BROKEN)

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        self._asked("whole", request.meta)
        text = ""
        for piece in self.calls.pop(0):
            if isinstance(piece, ModelFailed):
                raise piece
            if isinstance(piece, ModelEnd):
                return text, piece
            text += "".join(piece)
        raise AssertionError("a whole answer needs its end")

    def _asked(self, how: str, meta: CallMeta) -> None:
        self.asked.append(how)
        self.metas.append(meta)

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return


class Attempt:
    """One generation, and everything that became visible of it."""

    def __init__(
        self,
        model: Any,
        limits: GenerationLimits = QUICK,
        narrative_bytes: int = 50_000,
        slots: FairLimiter | None = None,
        others: Sequence[ScriptedModel] = (),
    ) -> None:
        self.model = model
        self.log = MemoryTurnLog()
        self.seen: list[Observation] = []
        self.gaps: list[float] = []
        request = TurnRequest("c", "go", "local", "request-1", traceparent="trace")
        writer = LogWriter("t", self.log, Clock())
        self.turn = TurnState(Claim("t", 1), request, CharacterProgress(), writer, Clock())
        slots = slots or FairLimiter(1, 1.0)
        models = [model, *others]
        self.narrative_bytes = narrative_bytes
        self.generation = GenerationService(
            models, slots, limits, observe=self.observe, record_gap=self.gaps.append
        )

    def observe(self, seen: Observation | ModelCalled) -> None:
        self.seen.append(seen)

    async def generate(self) -> str:
        request = GenerationRequest(PROMPT, Purpose.TURN, "local", self.turn.meta)
        narration = Narration(self.turn, self.narrative_bytes, self.observe)
        return (await self.generation.generate(request, narration)).text

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(data) for _, _, data in self.log.entries()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def narrative(self) -> str:
        return "".join(event["content"] for event in self.of("token"))

    @property
    def outcomes(self) -> list[str]:
        return [seen.outcome for seen in self.seen if isinstance(seen, ModelCalled)]


def run(work: Callable[[], Awaitable[Attempt]]) -> Attempt:
    async def bounded() -> Attempt:
        async with asyncio.timeout(300):
            return await work()

    return asyncio.run(bounded())


def succeed(*calls: Call, **limits: Any) -> Attempt:
    """A generation that succeeds."""

    async def work() -> Attempt:
        attempt = Attempt(ScriptedModel(*calls), **_limits(limits))
        assert await attempt.generate() == "".join(text(calls[-1]))
        return attempt

    return run(work)


def fail(error: type[DungeonMasterError], *calls: Call, **limits: Any) -> Attempt:
    """A generation that ends with this error."""

    async def work() -> Attempt:
        attempt = Attempt(ScriptedModel(*calls), **_limits(limits))
        with pytest.raises(error) as caught:
            await attempt.generate()
        assert type(caught.value) is error
        return attempt

    return run(work)


def _limits(changes: dict[str, Any]) -> dict[str, Any]:
    known = (
        {"narrative_bytes": changes.pop("narrative_bytes")} if "narrative_bytes" in changes else {}
    )
    return {"limits": replace(QUICK, **changes), **known}


def text(call: Call) -> Iterator[str]:
    for piece in call:
        if isinstance(piece, list):
            yield from piece


def reads(whole: str, size: int = 4) -> Call:
    return [[piece] for piece in cut(whole, size)]


GOOD: Call = [*reads(TEXT), END]
WHOLE: Call = [[TEXT], END]


def transient(kind: FailureKind = FailureKind.TRANSIENT, **fields: Any) -> Call:
    return [ModelFailed("it answered 503", kind, **fields)]


def broken(after: Call | None = None, kind: FailureKind = FailureKind.BROKEN) -> Call:
    return [*(after or []), ModelFailed("the connection broke", kind)]


def until(end: str) -> Call:
    return [[TEXT[: TEXT.index(end) + len(end)]]]


NOTHING_SHOWN = until('"narrative": "')
HALF = until("The torch")


# -- what is shown --------------------------------------------------------------------------------


def test_a_stream_is_shown_as_it_forms_and_returned_whole() -> None:
    attempt = succeed(GOOD)
    assert attempt.narrative == NARRATIVE
    assert attempt.turn.narrative == NARRATIVE
    assert (attempt.model.asked, attempt.outcomes) == (["stream"], ["ok"])
    assert attempt.model.metas == [CallMeta("request-1", "trace")]


def test_one_read_becomes_one_event() -> None:
    call: Call = [['{"narrative": "', "a", "b"], ["c"], ['d", "in', 'tents": {}}'], END]
    tokens = succeed(call).of("token")
    assert [(event["content"], event["index"]) for event in tokens] == [
        ("ab", 0),
        ("c", 2),
        ("d", 3),
    ]


def test_a_read_is_shown_before_the_next_is_asked_for() -> None:
    class Watched(ScriptedModel):
        async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
            for piece in ['{"narrative": "a', "b", 'c", "intents": {}}']:
                shown.append(attempt.narrative)
                flows.append(on_delta([piece]))
            shown.append(attempt.narrative)
            return END

    shown: list[str] = []
    flows: list[Flow] = []
    attempt = Attempt(Watched())
    asyncio.run(attempt.generate())
    assert shown == ["", "a", "ab", "abc"]
    assert flows == [Flow.STREAM, Flow.STREAM, Flow.STOP]


def test_reasoning_and_markup_are_not_shown() -> None:
    call: Call = [["<think>Hm, "], ['{"narrative": "no"}</think>```json\n'], [TEXT], ["\n```"], END]
    assert succeed(call).narrative == NARRATIVE


def test_halves_of_a_character_are_shown_as_one() -> None:
    call: Call = [['{"narrative": "', "\ud83d"], ['\udd25", "intents": {}}'], END]
    attempt = Attempt(ScriptedModel(call))
    assert asyncio.run(attempt.generate()) == '{"narrative": "\U0001f525", "intents": {}}'
    assert attempt.narrative == "\U0001f525"
    assert "".join(text(attempt.turn.reads)).encode()  # type: ignore[arg-type]


def test_intents_are_previewed_once_when_the_model_has_closed_them() -> None:
    whole = outcome_text(poi=POI_CREATE)
    attempt = succeed([*reads(whole[:-2]), [whole[-2:]], END])
    (preview,) = attempt.of("preview")
    assert preview["validated"] is False
    assert preview["intents"]["poi_intent"] == POI_CREATE
    assert preview["intents"]["meta"] == META


def test_intents_that_come_first_are_previewed_before_the_narrative() -> None:
    whole = '{"intents": {"meta": {"player_mood": "calm"}}, "narrative": "A door."}'
    assert next(event["type"] for event in succeed([*reads(whole), END]).events) == "preview"


def test_second_generation_does_not_preview_intents_again() -> None:
    whole = '{"intents": {"meta": {"player_mood": "calm"}}, "narrative": "A door."}'
    attempt = succeed(broken([[whole[: whole.index(', "narr')]]]), [[whole], END])
    assert len(attempt.of("preview")) == 1


@pytest.mark.parametrize("intents", ["7", "null", "[]", '"none"'])
def test_intents_that_are_not_valid_are_not_previewed(intents: str) -> None:
    assert succeed([[f'{{"narrative": "A door.", "intents": {intents}}}'], END]).of("preview") == []


def test_deltas_are_counted_and_the_first_word_is_timed() -> None:
    attempt = succeed(GOOD)
    assert attempt.turn.deltas == len(cut(TEXT, 4))
    first = attempt.turn.first_token
    assert first is not None
    assert first >= attempt.turn.started
    behind = len(cut(TEXT[TEXT.index('", "intents') + 1 :], 4))
    assert 0 < attempt.turn.deltas - len(attempt.gaps) <= behind + 1


def test_tokens_are_reported_once_in_two_hundred() -> None:
    whole = json.dumps({"narrative": "x" * 960, "intents": {}})
    attempt = succeed([*reads(whole, 2), END])
    assert len([seen for seen in attempt.seen if isinstance(seen, TokensStreamed)]) == 2


# -- usage ----------------------------------------------------------------------------------------


def test_usage_is_the_providers() -> None:
    assert succeed(GOOD).turn.usage == USAGE


def test_usage_that_nobody_counted_is_estimated() -> None:
    usage = succeed([[TEXT], ModelEnd(None, "m")]).turn.usage
    written = len(TEXT) // 4
    assert usage == Usage(
        model="m",
        input_tokens=110,
        output_tokens=written,
        total_tokens=110 + written,
        estimated=True,
    )


# -- trying again ---------------------------------------------------------------------------------


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """The seconds of each pause before a retry."""
    found: list[float] = []
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([lambda details: found.append(details.wait_for)])
    yield found
    stamina.instrumentation.set_on_retry_hooks(before)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_failure_that_may_pass_is_tried_again(streaming: bool) -> None:
    attempt = succeed(transient(), transient(FailureKind.TIMED_OUT), WHOLE, streaming=streaming)
    assert attempt.narrative == NARRATIVE
    assert attempt.model.asked == ["stream" if streaming else "whole"] * 3
    assert attempt.outcomes == ["unavailable", "timeout", "ok"]


def test_pauses_double_up_to_their_limit(waits: list[float]) -> None:
    fail(LLMError, *[transient()] * 5, max_retries=4, delay_base=0.001, delay_max=0.005)
    assert waits == pytest.approx([0.001, 0.002, 0.004, 0.005])


def test_a_provider_that_names_a_time_is_obeyed(waits: list[float]) -> None:
    succeed(transient(retry_after=0.003), GOOD, delay_base=0.001)
    assert waits == [0.003]


@pytest.mark.parametrize("seconds", [21.0, 3600.0])
def test_no_provider_makes_players_wait_for_more_than_twenty_seconds(
    waits: list[float], seconds: float
) -> None:
    attempt = fail(LLMError, transient(retry_after=seconds), GOOD)
    assert (attempt.model.asked, waits) == (["stream"], [])


@pytest.mark.parametrize("seconds", [21.0, 3600.0])
def test_the_next_model_is_asked_at_once_where_the_first_asks_for_more_time(
    waits: list[float], seconds: float
) -> None:
    attempt, other = attempt_two([transient(retry_after=seconds)], GOOD)
    assert (attempt.narrative, other.asked, waits) == (NARRATIVE, ["stream"], [])


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_come_after_the_first_attempt_and_then_it_is_over(retries: int) -> None:
    attempt = fail(LLMError, *[transient()] * 9, max_retries=retries)
    assert attempt.model.asked == ["stream"] * (1 + retries)
    assert attempt.events == []


def test_a_refusal_is_not_tried_again() -> None:
    assert fail(LLMError, [ModelFailed("it answered 401")]).model.asked == ["stream"]


def test_an_answer_that_began_is_never_streamed_again() -> None:
    failure = ModelFailed("it broke", FailureKind.BROKEN)
    assert succeed([failure], WHOLE).model.asked == ["stream", "whole"]


# -- without streaming ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        broken(),
        broken([["<think>Hm."]]),
        broken(NOTHING_SHOWN),
        broken(NOTHING_SHOWN, FailureKind.STALLED),
        [*NOTHING_SHOWN],
        [ModelFailed("it cannot stream", FailureKind.CANNOT_STREAM)],
    ],
    ids=["at once", "in its reasoning", "before a word", "deaf", "without an end", "cannot stream"],
)
def test_stream_broken_before_the_first_word_is_tried_once_without_streaming(
    call: Call,
) -> None:
    attempt = succeed(call, WHOLE)
    assert attempt.model.asked == ["stream", "whole"]
    assert [event["content"] for event in attempt.of("token")] == [NARRATIVE]
    assert attempt.of("token")[0]["index"] == 0
    assert attempt.turn.deltas == 1
    assert attempt.turn.reads == [[TEXT]]


def test_failed_attempt_without_streaming_ends_the_turn() -> None:
    attempt = fail(LLMError, broken(NOTHING_SHOWN), transient(), GOOD)
    assert attempt.model.asked == ["stream", "whole"]


def test_retries_of_the_stream_leave_the_attempt_without_streaming() -> None:
    attempt = succeed(transient(), broken(NOTHING_SHOWN), WHOLE)
    assert attempt.model.asked == ["stream", "stream", "whole"]


@pytest.mark.parametrize(
    ("call", "error", "outcome"),
    [
        (broken(HALF), LLMError, "failed"),
        (broken(HALF, FailureKind.STALLED), LLMTimeout, "timeout"),
        (HALF, LLMError, "failed"),
    ],
    ids=["cut", "deaf", "without an end"],
)
def test_shown_narrative_is_not_generated_again(
    call: Call, error: type[DungeonMasterError], outcome: str
) -> None:
    attempt = fail(error, call, WHOLE)
    assert attempt.model.asked == ["stream"]
    assert attempt.outcomes == [outcome]
    assert attempt.narrative == "The torch"


@pytest.mark.parametrize("before", [[], NOTHING_SHOWN, HALF])
@pytest.mark.parametrize("streaming", [True, False])
def test_an_unusable_answer_is_not_asked_for_again(before: Call, streaming: bool) -> None:
    failure = ModelFailed("The model's answer was cut off", FailureKind.UNUSABLE)
    attempt = fail(LLMResponseError, [*before, failure], WHOLE, streaming=streaming)
    assert len(attempt.model.asked) == 1
    assert attempt.outcomes == ["invalid"]


def test_without_streaming_the_narrative_is_one_event() -> None:
    attempt = succeed(GOOD, streaming=False)
    assert attempt.model.asked == ["whole"]
    assert [event["content"] for event in attempt.of("token")] == [NARRATIVE]


def test_a_stream_is_closed_whatever_ends_it() -> None:
    for attempt in (succeed(GOOD), fail(LLMError, broken(HALF)), fail(LLMError, HALF)):
        assert attempt.model.open == 0


def test_cancelled_generation_closes_its_stream_and_is_observed_as_cancelled() -> None:
    class Endless(ScriptedModel):
        async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
            self.open += 1
            try:
                on_delta(['{"narrative": "a'])
                reached.set()
                await asyncio.Event().wait()
                return END
            finally:
                self.open -= 1

    reached = asyncio.Event()

    async def work() -> Attempt:
        attempt = Attempt(Endless())
        task = asyncio.create_task(attempt.generate())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return attempt

    attempt = run(work)
    assert (attempt.model.open, attempt.outcomes) == (0, ["cancelled"])


# -- other models ---------------------------------------------------------------------------------


def attempt_two(first: list[Call], second: Call, **limits: Any) -> tuple[Attempt, ScriptedModel]:
    """A generation with a second model behind the first, however it ends."""
    other = ScriptedModel(second, name="other")

    async def work() -> Attempt:
        attempt = Attempt(ScriptedModel(*first), others=[other], **_limits(limits))
        with suppress(DungeonMasterError):
            await attempt.generate()
        return attempt

    return run(work), other


@pytest.mark.parametrize(
    "first",
    [
        [transient()],
        [[ModelFailed("it answered 401")]],
        [[ModelFailed("its circuit is open", FailureKind.CIRCUIT_OPEN)]],
        [broken(NOTHING_SHOWN), transient()],
    ],
    ids=["down", "refused", "circuit open", "broken, then down"],
)
def test_the_next_model_takes_over_from_one_that_cannot_begin(first: list[Call]) -> None:
    attempt, other = attempt_two(first, GOOD, max_retries=0)
    assert other.asked == ["stream"]
    assert attempt.narrative == NARRATIVE
    assert attempt.turn.usage == USAGE


def test_the_next_model_is_asked_when_the_retries_of_the_first_are_used_up() -> None:
    attempt, other = attempt_two([transient()] * 3, GOOD, max_retries=2)
    assert (attempt.model.asked, other.asked) == (["stream"] * 3, ["stream"])
    called = [seen.model for seen in attempt.seen if isinstance(seen, ModelCalled)]
    assert called == ["scripted"] * 3 + ["other"]


@pytest.mark.parametrize(
    "call", [broken(HALF), [ModelFailed("it was filtered", FailureKind.UNUSABLE)]]
)
def test_no_other_model_takes_over_a_partial_or_unusable_answer(call: Call) -> None:
    attempt, other = attempt_two([call], GOOD)
    assert (attempt.model.asked, other.asked) == (["stream"], [])


def test_a_model_behind_an_open_circuit_is_unavailable() -> None:
    fail(LLMUnavailable, [ModelFailed("its circuit is open", FailureKind.CIRCUIT_OPEN)])


def test_every_call_of_a_turn_counts_as_spent() -> None:
    attempt = succeed(transient(), broken(NOTHING_SHOWN), WHOLE)
    assert attempt.turn.spent_on_calls == Amount(
        110 + len("".join(text(NOTHING_SHOWN[:1]))) // 4 + 7
    )


# -- limits ---------------------------------------------------------------------------------------


def of_size(narrative: str) -> Call:
    whole = json.dumps({"narrative": narrative, "intents": {}})
    return [*reads(whole, 50), END]


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f525"])
def test_a_narrative_may_have_as_many_bytes_as_allowed_and_not_one_more(letter: str) -> None:
    size = len(letter.encode())
    assert succeed(of_size(letter * 40), narrative_bytes=40 * size).narrative == letter * 40
    attempt = fail(LLMResponseError, of_size(letter * 40), GOOD, narrative_bytes=40 * size - 1)
    assert attempt.model.asked == ["stream"]
    assert len(attempt.narrative.encode()) < 40 * size
    assert (letter * 40).startswith(attempt.narrative)


def test_a_narrative_may_have_as_many_characters_as_journey_log_takes() -> None:
    assert len(succeed(of_size("x" * 32_000)).narrative) == 32_000
    attempt = fail(LLMResponseError, of_size("x" * 32_001))
    assert len(attempt.narrative) <= 32_000


def test_a_narrative_is_too_long_while_it_streams_not_when_it_ends() -> None:
    endless: Call = [*reads('{"narrative": "' + "x" * 400, 10), ModelFailed("never reached")]
    attempt = fail(LLMResponseError, endless, narrative_bytes=100)
    assert attempt.outcomes == ["invalid"]


def test_an_answer_that_never_comes_to_its_story_is_given_up() -> None:
    fail(LLMResponseError, [["<think>"], *[["hm " * 50_000]] * 20, END])


def test_the_whole_phase_has_a_deadline() -> None:
    class Deaf(ScriptedModel):
        async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
            await asyncio.Event().wait()
            return END

    async def work() -> Attempt:
        attempt = Attempt(Deaf(), **_limits({"seconds": 0.02}))
        with pytest.raises(LLMTimeout):
            await attempt.generate()
        return attempt

    assert run(work).outcomes == ["cancelled"]


def test_generation_without_a_slot_is_refused_without_a_call() -> None:
    async def work() -> Attempt:
        slots = FairLimiter(1, 0.01)
        attempt = Attempt(ScriptedModel(GOOD), slots=slots)
        async with slots.hold():
            with pytest.raises(Overloaded):
                await attempt.generate()
        assert await attempt.generate() == TEXT
        assert (slots.busy, slots.waiting) == (0, 0)
        return attempt

    assert run(work).model.asked == ["stream"]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (FailureKind.TIMED_OUT, LLMTimeout),
        (FailureKind.STALLED, LLMTimeout),
        (FailureKind.UNUSABLE, LLMResponseError),
        (FailureKind.CIRCUIT_OPEN, LLMUnavailable),
        (FailureKind.REFUSED, LLMError),
        (FailureKind.BROKEN, LLMError),
    ],
)
def test_failure_is_reported_by_its_kind(
    failure: FailureKind, error: type[DungeonMasterError]
) -> None:
    fail(error, [ModelFailed("x", failure)], streaming=False, max_retries=0)
