"""What the events of the two APIs mean: text, usage, and every way an answer can go wrong.

Both parsers are pure: `feed` takes the data of the events of one upstream read and returns the text
deltas in them. `finished` is true once the server has said that the answer is whole. What goes
wrong behind a text is kept in `failure`: the text came first, and players may read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from app.core.results import Usage
from app.ports.model import FailureKind, ModelEnd, ModelFailed

DONE: Final = b"[DONE]"
MOST_TOKENS: Final = 2**31

# Of an event only these fields are ever made into objects, which takes a third of the time of
# making them all; and none of them can be part of a cycle that had to be found by the collector.


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """An event of Chat Completions."""

    choices: list[_Choice] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    """An event of Responses."""

    type: str = ""
    delta: Any = None
    output_index: int | None = None
    item: Any = None
    response: Any = None
    error: Any = None
    code: Any = None


class ResponseParser:
    """Raises `ModelFailed` and nothing else."""

    events: ClassVar[msgspec.json.Decoder[Any]]  # of a list of them
    finished: bool
    closed = False
    failure: ModelFailed | None = None

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
        try:
            return self.whole(read_json(body))
        except Exception as error:
            raise _as_failure(error) from None

    def _one_by_one(self, events: Sequence[bytes]) -> Iterator[Any]:
        for data in events:
            if data.startswith(DONE):
                self.closed = True
                return
            yield self._event(read_json(data))

    def _event(self, told: Mapping[str, Any]) -> Any:
        """What the decoder makes of an event, where some of it is not quite as it should be."""
        raise NotImplementedError

    def _read(self, events: Iterable[Any], deltas: list[str]) -> None:
        raise NotImplementedError

    def whole(self, reply: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def check(self) -> None:
        """Raises what went wrong behind a text, if anything did."""
        if self.failure is not None:
            raise self._taken(self.failure)

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
        """What is known of model and usage by now, for an answer that is complete by itself."""
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


class ChatParser(ResponseParser):
    """Chat Completions. Private reasoning (`reasoning_content`) is never returned."""

    events = msgspec.json.Decoder(list[_Chunk])

    def __init__(self, model: str) -> None:
        self._model = model
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._named = False  # the first chunk has said which model it is

    @property
    def finished(self) -> bool:  # type: ignore[override]
        return self._finish is not None or self.closed

    def _event(self, told: Mapping[str, Any]) -> _Chunk:
        choices = [
            _Choice(_Delta(said.get("content"), said.get("refusal")), choice.get("finish_reason"))
            for choice in told.get("choices") or ()
            for said in [choice.get("delta") or {}]
        ]
        return _Chunk(choices, told.get("model"), told.get("usage"), told.get("error"))

    def _read(self, events: Iterable[_Chunk], deltas: list[str]) -> None:
        for chunk in events:
            if chunk.error:
                raise stream_error(chunk.error)
            if chunk.usage or not self._named:
                self._read_usage(chunk.model, chunk.usage)
            if not chunk.choices:  # the usage chunk at the end
                continue
            choice = chunk.choices[0]
            said = choice.delta
            if choice.finish_reason or (said and said.refusal):
                self._note(choice.finish_reason, said and said.refusal)
            if said and said.content and isinstance(said.content, str):
                deltas.append(said.content)

    def whole(self, reply: Mapping[str, Any]) -> str:
        if reply.get("error"):
            raise stream_error(reply["error"])
        self._read_usage(reply.get("model"), reply.get("usage"))
        choices = reply.get("choices")
        said: Mapping[str, Any] = {}
        if choices:
            said = choices[0].get("message") or {}
            self._note(choices[0].get("finish_reason"), said.get("refusal"))
        self._finish = self._finish or "stop"
        text = said.get("content")
        return text if isinstance(text, str) else ""

    def _note(self, finish_reason: str | None, refusal: object) -> None:
        self._finish = finish_reason or self._finish
        if refusal:
            raise unusable("The model refused to answer")

    def _read_usage(self, model: str | None, usage: Mapping[str, Any] | None) -> None:
        self._model, self._named = model or self._model, True
        if usage:
            self._usage = _usage(usage, "prompt_tokens", "completion_tokens", self._model)

    def _end(self) -> ModelEnd:
        if self._finish in ("length", "content_filter"):
            reason = "was cut off" if self._finish == "length" else "was filtered"
            raise unusable(f"The model's answer {reason}", self._usage)
        return self.known_end()

    def known_end(self) -> ModelEnd:
        return ModelEnd(self._usage, self._model)


class ResponsesParser(ResponseParser):
    """Responses. Only final messages are text: not reasoning, not commentary, not tool calls."""

    events = msgspec.json.Decoder(list[_Event])

    def __init__(self, model: str) -> None:
        self._model = model
        self._usage: Usage | None = None
        self._asides: set[int] = set()
        self._heard = False
        self.finished = False

    def _event(self, told: Mapping[str, Any]) -> _Event:
        known: dict[str, Any] = {name: told.get(name) for name in _Event.__struct_fields__}
        known["type"] = str(known["type"] or "")
        return _Event(**known)

    def _read(self, events: Iterable[_Event], deltas: list[str]) -> None:
        for event in events:
            if event.type == "response.output_text.delta":
                if event.output_index not in self._asides and event.delta:
                    self._heard = True
                    deltas.append(event.delta)
                continue
            if text := self._other(event):
                deltas.append(text)
            if self.closed:
                return

    def _other(self, event: _Event) -> str:
        """Everything but text deltas; a text only where a server sent none before its end."""
        match event.type:
            case "response.output_item.added":
                commentary = (event.item or {}).get("phase") == "commentary"
                if commentary and event.output_index is not None:
                    self._asides.add(event.output_index)
            case "response.refusal.delta" | "response.refusal.done":
                raise unusable("The model refused to answer")
            case "response.completed":
                return self.whole(event.response or {}, skip_text=self._heard)
            case "response.incomplete":
                return self.whole({"status": "incomplete", **(event.response or {})})
            case "response.failed":
                raise stream_error((event.response or {}).get("error"))
            case "error":
                raise stream_error(event.error or {"code": event.code})
            case kind if event.error and not kind.startswith("response."):
                raise stream_error(event.error)
        return ""

    def whole(self, response: Mapping[str, Any], *, skip_text: bool = False) -> str:
        """The text of a complete response object."""
        if response.get("error"):
            raise stream_error(response["error"])
        self._model = response.get("model") or self._model
        if usage := response.get("usage"):
            self._usage = _usage(usage, "input_tokens", "output_tokens", self._model)
        if response.get("status") == "incomplete":
            raise unusable("The model's answer was cut off", self._usage)
        self.finished = self.closed = True
        return "" if skip_text else "".join(_texts(response))

    def known_end(self) -> ModelEnd:
        return ModelEnd(self._usage, self._model)


def _texts(response: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for item in response.get("output") or []:
        if item.get("type") != "message" or item.get("phase") == "commentary":
            continue
        for part in item.get("content") or []:
            if part.get("type") == "refusal":
                raise unusable("The model refused to answer")
            if part.get("type") == "output_text":
                found.append(part.get("text") or "")
    return found


def _usage(usage: Mapping[str, Any], read: str, written: str, model: str) -> Usage:
    tokens_in, tokens_out = _count(usage.get(read)), _count(usage.get(written))
    return Usage(
        model=model,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        total_tokens=_count(usage.get("total_tokens")) or tokens_in + tokens_out,
    )


def _count(value: Any) -> int:
    """A number of tokens that can be believed, else 0: budgets are charged with it."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return min(value, MOST_TOKENS) if whole and value > 0 else 0


def unusable(why: str, usage: Usage | None = None) -> ModelFailed:
    return ModelFailed(why, FailureKind.UNUSABLE, usage=usage)


def stream_error(error: Any) -> ModelFailed:
    """An error object inside an answer that began with 200. Its text is not passed on."""
    code = error.get("code") or error.get("type") if isinstance(error, Mapping) else None
    known = code if isinstance(code, str) and code.replace("_", "").isalnum() else "unknown"
    return ModelFailed(f"the stream broke with the error {known[:60]}", FailureKind.BROKEN)
