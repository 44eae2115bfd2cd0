"""A request for a completion, and completions that are no turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.core.fields import plain_uuid
from app.errors import ModelNotFound
from app.frontends.messages import ChatMessage, digest, newest_first, read_chat, said
from app.frontends.openai.action import COMPARED, Asked

PREFIX: Final = "dungeon-master/"
TASKS: Final = "dungeon-master-tasks"
NEW: Final = "dungeon-master/new"
_HEARD: Final = frozenset({"user", "assistant"})


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class CompletionIn(msgspec.Struct):
    """The members that count."""

    model: str
    messages: list[msgspec.Raw]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: dict[str, Any] | None = None
    dm_events: bool | None = None


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """`character_id`: None for a model that is no character. `last`: the newest message's text,
    whoever said it. `options`: what the stream shows beside the text."""

    model: str
    character_id: str | None
    asked: Asked
    last: str
    options: Mapping[str, bool]
    messages: Sequence[msgspec.Raw] = field(repr=False)

    def spoken(self) -> list[str]:
        """All that the player has said, oldest first."""
        heard = (one for one in newest_first(self.messages) if one.role == "user")
        return [text for one in heard if (text := said(one))][::-1]


def read_completion(body: bytes, headers: Mapping[str, str], key: str | None) -> CompletionRequest:
    """`key`: of the Idempotency-Key header. Raises `ValidationError` or `ModelNotFound`."""
    wanted = read_chat(body, CompletionIn)
    character_id = None if wanted.model in (TASKS, NEW) else _character(wanted.model)
    last, action, before = _end_of(wanted.messages)
    retry, chat = headers.get("x-stainless-retry-count", ""), headers.get("x-openwebui-chat-id")
    options = wanted.stream_options
    asked = Asked(
        action=action,
        before=before,
        tasks=wanted.model == TASKS,
        streamed=bool(wanted.stream),
        marked=(wanted.metadata or {}).get("dm_turn") == "true",
        key=key,
        chat=digest("openai", chat) if chat else None,
        retry=int(retry) if retry.isascii() and retry.isdigit() and len(retry) < 10 else None,
    )
    shown = {
        "include_usage": bool(options is not None and options.include_usage),
        "dm_events": bool(wanted.dm_events),
    }
    return CompletionRequest(wanted.model, character_id, asked, last, shown, wanted.messages)


def _character(model: str) -> str:
    try:
        return plain_uuid(model.removeprefix(PREFIX) if model.startswith(PREFIX) else "")
    except ValueError:
        raise ModelNotFound from None


def _end_of(messages: Sequence[msgspec.Raw]) -> tuple[str, str | None, str | None]:
    """The last text; the action, where the last that anybody said is the player's; and the last answer
    in front of it."""
    heard = _with_text(messages)
    last = next(heard, None)
    if last is None:
        return "", None, None
    text = said(last)
    if last.role != "user":
        return text, None, None
    before = next((said(one) for one in heard if one.role == "assistant"), None)
    return text, text, None if before is None else before[-COMPARED:]


def _with_text(messages: Sequence[msgspec.Raw]) -> Any:
    heard: Any = (one for one in newest_first(messages) if _is_heard(one))
    return heard


def _is_heard(message: ChatMessage) -> bool:
    return message.role in _HEARD and bool(said(message))


def completion(
    completion_id: str, created: int, model: str, content: str, usage: Mapping[str, int]
) -> dict[str, Any]:
    """A `chat.completion`."""
    message = {"role": "assistant", "content": content}
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": dict(usage),
    }
