"""The base of both response parsers: text, usage, and every way in which an answer can fail.

Parsers are pure: `feed` takes the data of the events of one upstream read and returns the text deltas
in them. `finished` is true once the server has said that the answer is whole. What goes wrong behind
a text is kept in `failure`: the text came first, and players may read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from app.adapters.openai.refusals import Refusal, read_refusal
from app.core.results import Usage
from app.errors import Upstream
from app.ports.model import FailureKind, ModelEnd, ModelFailed

DONE: Final = b"[DONE]"
MOST_TOKENS: Final = 10_000_000
MOST_ASIDE: Final = 2_000_000  # characters that are kept of what may be an answer elsewhere


class ResponseParser:
    """Raises `ModelFailed` and nothing else."""

    events: ClassVar[msgspec.json.Decoder[Any]]  # of a list of them
    finished: bool
    closed = False
    heard = False
    """Whether any text was returned."""
    aside = 0
    """Tokens that are no text so far: private reasoning, arguments of tool calls, a draft."""
    failure: ModelFailed | None = None
    refusal: Refusal | None = None
    """The error that stood inside the answer."""

    def feed(self, events: Sequence[bytes]) -> list[str]:
        deltas: list[str] = []
        try:
            # A whole read as one JSON array. If something in it is odd, then one by one: so it is
            # known what, and what came before it. (Halves of objects that are whole together go
            # unnoticed if another event holds two.)
            try:
                parsed = self.events.decode(b"[%b]" % b",".join(events))
            except ValueError:
                parsed = ()
            if len(parsed) != len(events):
                parsed = self._one_by_one(events)
            self._read(parsed, deltas)
        except Exception as error:
            if not deltas:
                raise _as_failure(error) from None
            self.failure = _as_failure(error)
        return deltas

    def read_whole(self, body: bytes) -> str:
        """The text of an answer that was not streamed."""
        if not body.strip():
            raise ModelFailed("The model's answer was empty", FailureKind.EMPTY)
        try:
            text = self.whole(read_json(body))
            self.heard = self.heard or bool(text)
            return text
        except Exception as error:
            raise _as_failure(error) from None

    def _one_by_one(self, events: Sequence[bytes]) -> Iterator[Any]:
        for data in events:
            if data.startswith(DONE):
                self.closed = True
                return
            yield self._event(read_json(data))

    def _event(self, fields: Mapping[str, Any]) -> Any:
        """Decode an event that does not fit the declared types exactly."""
        raise NotImplementedError

    def _read(self, events: Iterable[Any], deltas: list[str]) -> None:
        raise NotImplementedError

    def whole(self, reply: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def elsewhere(self) -> str:
        """A whole JSON document that came where no text is expected, if no text came."""
        return ""

    def error(self, error: Any) -> ModelFailed:
        """An error inside an answer that began with 200. Before any text it may pass."""
        self.refusal = read_refusal(_status(error), error)
        failure = failure_of(self.refusal)
        if self.heard:
            failure.kind = FailureKind.BROKEN
        return failure

    def check(self) -> None:
        """Raises what went wrong behind a text, if anything did."""
        if self.failure is not None:
            raise self._taken(self.failure)

    def check_retracted(self) -> None:
        """Raises for a text that was taken back, however complete it is."""
        if self.failure is not None and self.failure.kind is FailureKind.RETRACTED:
            self.check()

    def _taken(self, failure: ModelFailed) -> ModelFailed:
        """Kept nowhere any more: its frames hold us, and only the collector could free the circle."""
        self.failure = None
        return failure

    def end(self) -> ModelEnd:
        """Raises `ModelFailed` when what was received is no whole answer."""
        self.check()
        if not self.finished:
            raise ModelFailed("the stream ended too early", FailureKind.BROKEN)
        return self._end()

    def known_end(self) -> ModelEnd:
        """Model and usage known so far, for an answer that is complete by itself."""
        raise NotImplementedError

    def _end(self) -> ModelEnd:
        return self.known_end()


def _as_failure(error: Exception) -> ModelFailed:
    if isinstance(error, ModelFailed):
        return error
    return ModelFailed("the answer has an unknown shape", FailureKind.BROKEN)


def read_json(data: bytes) -> dict[str, Any]:
    """json takes lone surrogates, which some servers cut their output into."""
    try:
        value = msgspec.json.decode(data)
    except ValueError:
        try:
            value = json.loads(data)
        except ValueError:
            raise ModelFailed("the answer is not JSON", FailureKind.BROKEN) from None
    if not isinstance(value, dict):
        raise ModelFailed("the answer is not a JSON object", FailureKind.BROKEN)
    return value


def unusable(why: str, usage: Usage | None = None) -> ModelFailed:
    return ModelFailed(why, FailureKind.UNUSABLE, usage=usage)


def cut_off(usage: Usage | None) -> ModelFailed:
    return ModelFailed("The model's answer was cut off", FailureKind.CUT_OFF, usage=usage)


def filtered(usage: Usage | None) -> ModelFailed:
    return unusable("The model's answer was stopped by the provider's content filter", usage)


def failure_of(refusal: Refusal, hint: str | None = None) -> ModelFailed:
    """Its message holds no words of the provider but a code."""
    status = refusal.status
    upstream = Upstream(status, refusal.code, hint)
    if refusal.context_full:
        return ModelFailed(
            "its context is full",
            FailureKind.CONTEXT_FULL,
            upstream=upstream,
            window=refusal.window,
            prompt_tokens=refusal.prompt_tokens,
        )
    if status in (401, 403):
        return ModelFailed("it refused the credentials", upstream=upstream)
    passing = status is None or status in (408, 409, 429) or status >= 500
    lasting = refusal.exhausted or (status is None and refusal.unknown_model)
    said = f"it answered {status}" if status else "it reported an error"
    if refusal.code and not status:
        said = f"it failed with the error {refusal.code}"
    return ModelFailed(
        said,
        FailureKind.TRANSIENT if passing and not lasting else FailureKind.REFUSED,
        retry_after=refusal.retry_after,
        upstream=upstream,
    )


def _status(error: Any) -> int | None:
    """The HTTP status that an error inside a 200 names."""
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    return code if type(code) is int and 400 <= code < 600 else None


def is_document(text: str) -> bool:
    """Whether a text is one JSON object and nothing else, a code fence around it aside."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json").strip()
    if not text.startswith("{"):
        return False
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except ValueError:
        return False


def text_of(content: Any) -> str:
    """A text, or the texts of a list of parts; private reasoning among them is none. Some servers decode
    a text that is JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        if "type" not in content and "text" not in content:
            return json.dumps(content)
        content = [content]
    if not isinstance(content, Sequence):
        return ""
    return "".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    if isinstance(text, Mapping):  # as assistants write it
        text = text.get("value")
    return text if isinstance(text, str) else ""


def read_usage(usage: Any, read: str, written: str, model: str) -> Usage | None:
    """None where no number in it can be believed; 0 for one that cannot."""
    if not isinstance(usage, Mapping):
        return None
    tokens_in, tokens_out = _count(usage.get(read)), _count(usage.get(written))
    if not tokens_in and not tokens_out:
        return None
    return Usage(
        model=model,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        total_tokens=max(_count(usage.get("total_tokens")), tokens_in + tokens_out),
        # the second name is DeepSeek's
        cached_tokens=_detail(usage, f"{read}_details", "cached_tokens")
        or _count(usage.get("prompt_cache_hit_tokens"))
        or None,
        reasoning_tokens=_detail(usage, f"{written}_details", "reasoning_tokens"),
    )


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int | None:
    details = usage.get(group)
    return (_count(details.get(name)) or None) if isinstance(details, Mapping) else None


def _count(value: Any) -> int:
    """A number of tokens that can be believed, else 0: budgets are charged with it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value <= MOST_TOKENS else 0
