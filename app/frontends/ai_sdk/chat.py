"""The request of the AI SDK, read from its body alone."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from app.errors import NoNewAction
from app.frontends.messages import digest, newest_first, read_chat, said


class ChatIn(msgspec.Struct):
    """The members that count. `trigger` and `messageId` do not: the id of the last message says
    whether it is a new one, and its text whether it was edited."""

    id: str
    messages: list[msgspec.Raw]


class ChatAction(NamedTuple):
    """`chat`: a mark for all requests of the chat."""

    action: str
    key: str | None
    chat: str


def read_action(body: bytes, character_id: str) -> ChatAction:
    """Raises `ValidationError`, or `NoNewAction` where the last message is not the player's."""
    chat = read_chat(body, ChatIn)
    last = next(newest_first(chat.messages), None)
    if last is None or last.role != "user" or not said(last):
        raise NoNewAction
    key = None if last.name is None else digest("ai-sdk", character_id, chat.id, last.name)
    return ChatAction(last.text, key, chat_mark(chat.id))


def chat_mark(chat_id: str) -> str:
    """The digest of a chat's id, which may be of any length."""
    return digest("ai-sdk", chat_id)
