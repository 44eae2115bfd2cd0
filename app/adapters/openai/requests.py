"""Request bodies of the two APIs, and the parts of a request that a server may refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from app.adapters.openai.chat import ChatParser
from app.adapters.openai.responses import ResponsesParser
from app.core.messages import JsonSchema, Message, Prompt
from app.ports.model import ModelRequest, Sampling

REQUEST_ID: Final = "request_id"
"""The header with a caller's own id as it came; some servers take UUIDs only."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A request's body, and the optional parts in it, in the order in which they are doubted.

    `bound`: the bound on output tokens and the name it is sent by.
    """

    body: dict[str, Any]
    parts: tuple[str, ...]
    bound: tuple[str, int] | None


class ApiFormat:
    """One API's requests.

    `words`: of each optional part, a pattern of the words in which servers complain about it.
    `groups`: parts that replace each other, the best first.
    """

    path: ClassVar[str]
    words: ClassVar[Mapping[str, str]]
    groups: ClassVar[Sequence[Sequence[str]]]

    def __init__(self, model: str) -> None:
        self._model = model

    def parser(self) -> Any:
        """A parser for one answer."""
        raise NotImplementedError

    def draft(
        self, request: ModelRequest, stream: bool, without: frozenset[str], bound: int | None
    ) -> Draft:
        """`without`: the parts that it must do without. `bound`: on output tokens."""
        raise NotImplementedError

    def _first(self, group: Sequence[str], without: frozenset[str]) -> str | None:
        """The best part of a group that may be sent."""
        return next((part for part in group if part not in without), None)

    def _name_cache(
        self, prompt: Prompt, without: frozenset[str], body: dict[str, Any], parts: list[str]
    ) -> None:
        """Requests of one name go to the machine that has read the beginning of their prompt already."""
        if prompt.cache_key is not None and "prompt_cache_key" not in without:
            parts.append("prompt_cache_key")
            body["prompt_cache_key"] = prompt.cache_key

    def _sample(
        self, sampling: Sampling, without: frozenset[str], body: dict[str, Any], parts: list[str]
    ) -> None:
        """Say how freely words are chosen, as far as the request says it and the server takes it."""
        for part, value in sampling._asdict().items():
            if value is not None and part not in without:
                parts.append(part)
                body[part] = value


_FORM_WORDS = (
    r"response_format|json_schema|text\.format|structured output|json schema|grammar|schema"
)


_SAMPLING_WORDS = {part: rf"\b{part}\b" for part in Sampling._fields}


class ChatFormat(ApiFormat):
    path = "/chat/completions"
    words: ClassVar = {
        "prompt_cache_key": "prompt_cache_key",
        "stream_options": "stream_options|include_usage",
        "max_completion_tokens": "max_completion_tokens",
        "max_tokens": "max_tokens",
        "json_schema": _FORM_WORDS,
        "json_object_schema": f"json_object|{_FORM_WORDS}",
        "json_object": r"response_format|json_object|json mode",
        **_SAMPLING_WORDS,
        "system": r"\bsystem\b|\broles?\b|template|jinja",
    }
    groups: ClassVar = (
        ("json_schema", "json_object_schema", "json_object"),
        # the newer name second: local servers take and ignore it, OpenAI refuses the older one by its name
        ("max_tokens", "max_completion_tokens"),
    )

    def parser(self) -> ChatParser:
        return ChatParser(self._model)

    def draft(
        self, request: ModelRequest, stream: bool, without: frozenset[str], bound: int | None
    ) -> Draft:
        prompt, parts = request.prompt, []
        body: dict[str, Any] = {"model": self._model, "messages": [], "stream": stream}
        form = self._first(self.groups[0], without) if prompt.schema is not None else None
        if form is not None and prompt.schema is not None:
            parts.append(form)
            body["response_format"] = _chat_form(form, prompt.schema)
        if stream and "stream_options" not in without:
            parts.append("stream_options")
            body["stream_options"] = {"include_usage": True}
        name = self._first(self.groups[1], without) if bound is not None else None
        if name is not None and bound is not None:
            parts.append(name)
            body[name] = bound
        self._sample(request.sampling, without, body, parts)
        messages = _messages(prompt, carried=form in ("json_schema", "json_object_schema"))
        if "system" in without:
            messages = _without_system(messages)
        elif any(message.role == "system" for message in messages):
            parts.append("system")
        body["messages"] = [_sent(message) for message in messages]
        self._name_cache(prompt, without, body, parts)
        return Draft(body, tuple(parts), (name, bound) if name and bound is not None else None)


def _chat_form(form: str, schema: JsonSchema) -> dict[str, Any]:
    match form:
        case "json_schema":
            return {"type": "json_schema", "json_schema": _strict(schema)}
        case "json_object_schema":
            return {"type": "json_object", "schema": schema.loosest}
        case _:
            return {"type": "json_object"}


class ResponsesFormat(ApiFormat):
    path = "/responses"
    words: ClassVar = {
        "prompt_cache_key": "prompt_cache_key",
        "store": r"\bstore\b",
        "max_output_tokens": "max_output_tokens",
        "json_schema": _FORM_WORDS,
        "json_object": r"text\.format|json_object|json mode",
        **_SAMPLING_WORDS,
        "system": r"\bsystem\b|\binstructions\b|\broles?\b|template|jinja",
    }
    groups: ClassVar = (("json_schema", "json_object"), ("max_output_tokens",))

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._habits = ResponsesParser.Habits()

    def parser(self) -> ResponsesParser:
        return ResponsesParser(self._model, self._habits)

    def draft(
        self, request: ModelRequest, stream: bool, without: frozenset[str], bound: int | None
    ) -> Draft:
        prompt, parts = request.prompt, []
        body: dict[str, Any] = {"model": self._model, "stream": stream}
        form = self._first(self.groups[0], without) if prompt.schema is not None else None
        if form is not None and prompt.schema is not None:
            strict = {"type": "json_schema", **_strict(prompt.schema)}
            parts.append(form)
            body["text"] = {"format": strict if form == "json_schema" else {"type": form}}
        if "store" not in without:
            parts.append("store")
            body["store"] = False
        bounded = bound is not None and "max_output_tokens" not in without
        if bounded:
            parts.append("max_output_tokens")
            body["max_output_tokens"] = bound
        self._sample(request.sampling, without, body, parts)
        messages = _messages(prompt, carried=form == "json_schema")
        if "system" in without:
            messages = _without_system(messages)
        body |= _input(messages)
        if "instructions" in body:
            parts.append("system")
        self._name_cache(prompt, without, body, parts)
        return Draft(
            body, tuple(parts), ("max_output_tokens", bound) if bounded and bound else None
        )


def _input(messages: Sequence[Message]) -> dict[str, Any]:
    """The leading system message as instructions; a single user message as plain text."""
    rows, instructions = [_sent(message) for message in messages], {}
    if rows and rows[0]["role"] == "system":
        instructions, rows = {"instructions": rows[0]["content"]}, rows[1:]
    if len(rows) == 1 and rows[0]["role"] == "user":
        return {**instructions, "input": rows[0]["content"]}
    return {**instructions, "input": rows}


def _sent(message: Message) -> dict[str, str]:
    """With a copy of the text: a string that was encoded keeps its UTF-8 beside it for as long as it
    lives, which is as long as the stream."""
    text = message.content
    return {"role": message.role, "content": text[:1] + text[1:]}


def _messages(prompt: Prompt, *, carried: bool) -> Sequence[Message]:
    """The messages of the prompt, with the schema as text where the request does not carry it."""
    if carried or prompt.schema is None:
        return prompt.messages
    text = prompt.schema.as_text()
    first, *others = prompt.messages or (Message("system", ""),)
    if first.role != "system":
        return [Message("system", text), first, *others]
    return [Message("system", f"{first.content}\n{text}".lstrip()), *others]


def _without_system(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages with the text of system messages moved to the front of the first user message."""
    said = "\n\n".join(message.content for message in messages if message.role == "system")
    others = [message for message in messages if message.role != "system"]
    for at, message in enumerate(others):
        if message.role == "user":
            others[at] = Message(
                "user", f"{said}\n\n{message.content}" if said else message.content
            )
            return others
    return [Message("user", said), *others]


def _strict(schema: JsonSchema) -> dict[str, Any]:
    return {"name": schema.name, "strict": True, "schema": schema.schema}
