"""Parsing the events of Chat Completions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from app.adapters.openai.parsers import (
    MOST_ASIDE,
    ResponseParser,
    cut_off,
    filtered,
    is_document,
    read_usage,
    text_of,
    unusable,
)
from app.core.results import Usage
from app.ports.model import ModelEnd

_LENGTH: Final = frozenset({"length", "max_tokens", "model_length"})
_FILTERED: Final = frozenset({"content_filter", "safety", "sensitive", "recitation"})

# Of an event only these fields are ever made into objects, which takes a third of the time of
# making them all; and none of them can be part of a cycle that had to be found by the collector.


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    error: Any = None
    message: _Delta | None = None
    text: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None
    message: Any = None
    detail: Any = None
    msg: Any = None
    code: Any = None

    @property
    def failure(self) -> Any:
        """An error object, also one that is the event itself."""
        if self.error:
            return self.error
        words = self.message or self.detail or self.msg
        if words and self.choices is None and self.usage is None:
            return {"message": words, "code": self.code}
        return None


class ChatParser(ResponseParser):
    """Private reasoning is no text, unless a whole document came nowhere else."""

    events = msgspec.json.Decoder(list[_Chunk])

    def __init__(self, model: str) -> None:
        self._model = model
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._named = False  # the first chunk has said which model it is
        self._thoughts: list[str] = []
        self._arguments: dict[int, list[str]] = {}  # of tool calls
        self._kept = 0  # characters of both

    @property
    def finished(self) -> bool:  # type: ignore[override]
        return self._finish is not None or self.closed

    def _event(self, fields: Mapping[str, Any]) -> _Chunk:
        choices = [
            _Choice(
                _delta(choice.get("delta")),
                choice.get("finish_reason"),
                choice.get("error"),
                _delta(choice.get("message")),
                choice.get("text"),
            )
            for choice in fields.get("choices") or ()
        ]
        names = ("model", "usage", "error", "message", "detail", "msg", "code")
        known = {name: fields.get(name) for name in names}
        return _Chunk(choices if "choices" in fields else None, **known)

    def _read(self, events: Iterable[_Chunk], deltas: list[str]) -> None:
        for chunk in events:
            if not chunk.choices:  # the usage chunk at the end, or an error
                if failure := chunk.failure:
                    raise self.error(failure)
                if chunk.usage:
                    self._read_usage(chunk.model, chunk.usage)
                continue
            if chunk.error:
                raise self.error(chunk.error)
            if chunk.usage or not self._named:
                self._read_usage(chunk.model, chunk.usage)
            choice = chunk.choices[0]
            said = choice.delta or choice.message
            if said is not None and said.content:
                text = said.content if type(said.content) is str else text_of(said.content)
                if text:
                    self.heard = True
                    deltas.append(text)
                else:
                    self.aside += 1
            elif text := self._beside(choice, said):
                self.heard = True
                deltas.append(text)
            if choice.finish_reason or choice.error or (said is not None and said.refusal):
                self._note(choice.finish_reason, said and said.refusal, choice.error)

    def _beside(self, choice: _Choice, said: _Delta | None) -> str:
        """Keep what may turn out to be the answer; the text of a choice in the older form."""
        if isinstance(choice.text, str):
            return choice.text
        if said is None:
            return ""
        thought = said.reasoning_content or said.reasoning
        if thought or said.tool_calls or said.function_call:
            self.aside += 1
        if self.heard or self._kept > MOST_ASIDE:
            return ""
        if isinstance(thought, str):
            self._thoughts.append(thought)
            self._kept += len(thought)
        if said.tool_calls:
            self._add_arguments(said.tool_calls)
        if isinstance(said.function_call, Mapping):
            self._add_arguments([{"function": said.function_call}])
        return ""

    def _add_arguments(self, calls: Any) -> None:
        for at, call in enumerate(calls if isinstance(calls, list) else ()):
            function = call.get("function") if isinstance(call, Mapping) else None
            found = function.get("arguments") if isinstance(function, Mapping) else None
            text = json.dumps(found) if isinstance(found, Mapping) else found
            if isinstance(text, str):
                index = call.get("index")
                key = index if isinstance(index, int) else at
                self._arguments.setdefault(key, []).append(text)
                self._kept += len(text)

    def elsewhere(self) -> str:
        if self.heard:
            return ""
        texts = ["".join(parts) for _, parts in sorted(self._arguments.items())]
        texts.append("".join(self._thoughts))
        return next((text for text in texts if is_document(text)), "")

    def whole(self, reply: Mapping[str, Any]) -> str:
        chunk = self._event(reply)
        if failure := chunk.failure:
            raise self.error(failure)
        self._read_usage(chunk.model, chunk.usage)
        text = ""
        if chunk.choices:
            choice = chunk.choices[0]
            said = choice.message or choice.delta
            text = text_of(said.content) if said else ""
            if not text:
                text = self._beside(choice, said) or self.elsewhere()
            self._note(choice.finish_reason, said and said.refusal, choice.error)
        self._finish = self._finish or "stop"
        return text

    def _note(self, finish_reason: str | None, refusal: object, error: object) -> None:
        if error or finish_reason == "error":
            raise self.error(error)
        self._finish = finish_reason or self._finish
        if refusal:
            raise unusable("The model refused to answer")

    def _read_usage(self, model: Any, usage: Any) -> None:
        if isinstance(model, str) and model:
            self._model = model
        self._named = True
        if usage:
            self._usage = read_usage(usage, "prompt_tokens", "completion_tokens", self._model)

    def _end(self) -> ModelEnd:
        reason = (self._finish or "").lower()
        if reason in _LENGTH:
            raise cut_off(self._usage)
        if reason in _FILTERED:
            raise filtered(self._usage)
        return self.known_end()

    def known_end(self) -> ModelEnd:
        return ModelEnd(self._usage, self._model)


def _delta(said: Any) -> _Delta | None:
    if not said or not isinstance(said, (Mapping, list)):
        return None
    if isinstance(said, list):
        return _Delta()
    return _Delta(*(said.get(name) for name in _Delta.__struct_fields__))
