"""Examining a model's server with small turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.core.results import Usage
from app.doctor.answers import Answer, ask, long_prompt, small_turn
from app.doctor.capabilities import ENDED
from app.doctor.report import Report
from app.doctor.together import QUICK_SECONDS, together
from app.generation.failures import WORTH_THE_WHOLE, as_error
from app.ports.model import FailureKind, ModelFailed, ModelListing, ProbedModel

FORMS: Final = {
    "json_schema": "schema",
    "json_object_schema": "schema beside json_object",
    "json_object": "JSON mode",
    "prompt": "prompt only",
}
FORM_TOKENS: Final = 1_000
"""Bound of an answer that only shows whether a form is taken."""
LONG_TOKENS: Final = 9_000
"""About as long as prompts of a long game become."""
LONG_SECONDS: Final = 20.0
MOST_WORDS: Final = 120
"""Characters of a server's complaint about one form."""
SMALL_WINDOW: Final = 32_768
"""Tokens below which prompts should be cut to the context."""
MOST_NAMED: Final = 10
_HINTS: Final = {
    FailureKind.TRANSIENT: "Check that the server runs, and OPENAI_BASE_URL.",
    FailureKind.TIMED_OUT: "Raise OPENAI_TIMEOUT, or use a faster model.",
    FailureKind.STALLED: "Raise OPENAI_TIMEOUT and LLM_IDLE_TIMEOUT, or use a faster model.",
}


@dataclass(frozen=True, slots=True)
class ModelRules:
    """The settings of the model. `bound`: on output tokens, None where none is sent."""

    streaming: bool
    bound: int | None
    slots: int
    context_tokens: int | None


@dataclass(eq=False)
class ModelExam:
    """The examination of one model. `clock`: monotonic seconds."""

    _model: ProbedModel
    _rules: ModelRules
    _report: Report
    _clock: Callable[[], float] = time.monotonic
    _listing: ModelListing | None = field(default=None, init=False)

    async def turn(self) -> Answer | None:
        """A turn's answer; None where turns fail."""
        for attempt in (1, 2):
            try:
                answer = await self._answer()
            except ModelFailed as failure:
                self._failed(failure)
                return None
            if answer.readable:
                self._turn_found(answer, attempt)
                return answer
        self._report.fail(
            "a turn",
            "two answers were no outcome of a turn: the model does not write the JSON it is asked for",
            "OPENAI_MODEL: a model that follows instructions better, or a server that takes a schema",
        )
        return None

    async def rest(self, turn: Answer) -> None:
        """Everything else, once turns work."""
        self._listing = await self._model.listing()
        self._models()
        await self._forms(turn)
        self._streaming(turn)
        self._usage(turn)
        await together(self._model, turn, self._rules.slots, self._report, self._clock)
        await self._context(turn)

    async def _answer(self) -> Answer:
        request = small_turn(self._rules.bound)
        if self._rules.streaming:
            try:
                return await ask(self._model, request, self._clock, stream=True)
            except ModelFailed as failure:
                if failure.kind not in WORTH_THE_WHOLE:
                    raise
        return await ask(self._model, request, self._clock, stream=False)

    def _turn_found(self, answer: Answer, attempt: int) -> None:
        text = f"{answer.seconds:.1f} s, first text after {answer.first:.1f} s"
        if attempt == 1:
            self._report.ok("a turn", text)
        else:
            self._report.warn(
                "a turn", f"{text}; an earlier answer was no outcome: some turns fail"
            )
        if words := self._model.complaints.get("bound"):
            self._report.warn(
                "output bound",
                f"the server refused {self._rules.bound} tokens ({words})",
                "LLM_MAX_OUTPUT_TOKENS: what the server takes",
            )

    def _failed(self, failure: ModelFailed) -> None:
        error = as_error(
            failure, bound=None if self._rules.bound is None else "LLM_MAX_OUTPUT_TOKENS"
        )
        hint = error.upstream.hint if error.upstream else _HINTS.get(failure.kind)
        words = self._model.complaints.get("request")
        said = f"{error.message} (The server said {words})" if words else error.message
        self._report.fail("a turn", said, *([hint] if hint else ()))

    def _models(self) -> None:
        if self._listing is None:
            self._report.note("models", "the server does not list them")
        else:
            names = self._listing.names
            shown = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
            self._report.note("models", shown or "none is listed")

    # -- forms ------------------------------------------------------------------------------------

    async def _forms(self, turn: Answer) -> None:
        for form in self._model.forms:
            name, words = FORMS.get(form, form), self._model.complaints.get(form)
            if form == turn.form:
                self._report.ok(name, "taken; turns are asked for in this form")
            elif words is not None:
                self._report.note(name, f"refused ({words[:MOST_WORDS]})")
            else:
                self._report.note(name, await self._pinned(form))
        if turn.form == self._model.forms[-1]:
            self._report.warn(
                "form", "the server takes no form of JSON: its model must write it by itself"
            )

    async def _pinned(self, form: str) -> str:
        """The result of a request in this form."""
        model = self._model.pinned(form)
        stream = self._rules.streaming
        try:
            answer = await ask(model, small_turn(FORM_TOKENS), self._clock, stream=stream)
        except ModelFailed as failure:
            if failure.kind not in ENDED or model.form != form:
                return f"failed: {failure}"
            return f"taken, but {failure}"
        if answer.form != form:
            return f"refused ({model.complaints.get(form, 'without a word')})"
        return "taken" if answer.readable else "taken, but the answer was no outcome of a turn"

    # -- streaming and usage ----------------------------------------------------------------------

    def _streaming(self, turn: Answer) -> None:
        if not self._rules.streaming:
            self._report.note("streaming", "off (LLM_STREAMING=false): stories come whole")
        elif not turn.streamed:
            words = self._model.complaints.get("stream", "the stream broke")
            self._report.warn(
                "streaming", f"does not work ({words}): stories come whole", "LLM_STREAMING=false"
            )
        elif turn.pieces < 2 and turn.seconds > QUICK_SECONDS:
            self._report.warn("streaming", "the stream came in one piece: something collects it")
        else:
            self._report.ok("streaming", f"works, {turn.pieces} pieces")

    def _usage(self, turn: Answer) -> None:
        if turn.usage is None:
            self._report.warn("usage", "not reported: tokens are estimated, and budgets with them")
        else:
            used = turn.usage
            self._report.ok("usage", f"{used.input_tokens} tokens in, {used.output_tokens} out")

    # -- context ----------------------------------------------------------------------------------

    async def _context(self, turn: Answer) -> None:
        if self._listing is not None and self._listing.context_tokens is not None:
            self._window_found(self._listing.context_tokens)
        elif (seconds := _long_seconds(turn)) > LONG_SECONDS:
            self._report.note(
                "context",
                f"unknown: a long prompt would take {seconds:.0f} s here",
            )
            self._report.advise("LLM_CONTEXT_TOKENS: the context that the server was started with")
        else:
            await self._long_prompt()

    async def _long_prompt(self) -> None:
        try:
            _, end = await self._model.complete(long_prompt(LONG_TOKENS))
        except ModelFailed as failure:
            if failure.kind is FailureKind.CONTEXT_FULL:
                self._window_found(failure.window)
            elif failure.kind in ENDED:
                self._long_enough(failure.usage)
            else:
                self._report.note("context", f"unknown: a long prompt failed ({failure})")
        else:
            self._long_enough(end.usage)

    def _long_enough(self, usage: Usage | None) -> None:
        counted = usage.input_tokens if usage else 0
        if 0 < counted < LONG_TOKENS // 2:
            self._report.warn(
                "context",
                f"of a prompt of about {LONG_TOKENS} tokens the server counted {counted}: "
                "it may cut prompts without a word",
                f"LLM_CONTEXT_TOKENS={max(counted, 1_000)}, or a larger context at the server "
                "(Ollama: OLLAMA_CONTEXT_LENGTH)",
            )
        else:
            self._report.ok("context", f"takes a prompt of about {LONG_TOKENS} tokens")

    def _window_found(self, window: int | None) -> None:
        known = self._rules.context_tokens
        if window is None:
            self._report.warn(
                "context",
                f"less than {LONG_TOKENS} tokens; prompts shrink once the server refuses one",
                "LLM_CONTEXT_TOKENS: the context that the server was started with",
            )
        elif known is not None and known > window:
            text = f"{window} tokens, fewer than LLM_CONTEXT_TOKENS ({known})"
            self._report.warn("context", text, f"LLM_CONTEXT_TOKENS={window}")
        else:
            self._report.ok("context", f"{window} tokens")
            if known is None and window < SMALL_WINDOW:
                self._report.advise(
                    f"LLM_CONTEXT_TOKENS={window}: prompts shrink before the server refuses one"
                )


def _long_seconds(turn: Answer) -> float:
    """How long the prompt of `LONG_TOKENS` would take, by what this one took."""
    read = turn.usage.input_tokens if turn.usage else 0
    return turn.first * LONG_TOKENS / max(read, 1_000)
