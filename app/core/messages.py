"""Prompts for a language model: messages and the schema of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from app.core.notation import notation

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One message of the conversation that a model continues."""

    role: Role
    content: str


class ContentHints(NamedTuple):
    """The request for generators that do not read language. `text`: the field of the answer that is shown
    while it forms."""

    kind: str
    text: str
    facts: dict[str, Any]
    parent: str | None


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON schema in the strict form of providers. `name`: letters, digits and underscores.
    `example`: an answer in it. `optional`: the same schema for servers that know optional fields, where
    there is another one."""

    name: str
    schema: Mapping[str, Any]
    example: Mapping[str, Any] | None = None
    optional: Mapping[str, Any] | None = None

    @property
    def loosest(self) -> Mapping[str, Any]:
        """The form in which an answer can be shortest."""
        return self.schema if self.optional is None else self.optional

    def as_text(self) -> str:
        """For a prompt to a server that does not take the schema itself."""
        text = f"Form of the answer; what has a ? may be left out:\n{notation(self.loosest)}\n"
        return text if self.example is None else f"{text}For example:\n{_line(self.example)}\n"


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(slots=True)
class Prompt:
    """`schema`: of the answer; None for free text. `hints`: structured facts for generators that do not
    read language, such as the offline storyteller. `cache_key`: names the prompts that begin alike, for
    servers that keep what they have read. `shorter`: the same request in at most that many characters,
    or as near to it as it can come; None where nothing can be left out. `written_again`: makes the messages
    anew; None where they are always kept.
    """

    _messages: tuple[Message, ...] | None
    schema: JsonSchema | None = None
    hints: object = None
    cache_key: str | None = None
    shorter: Callable[[int], Prompt | None] | None = field(default=None, compare=False, repr=False)
    written_again: Callable[[], tuple[Message, ...]] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def messages(self) -> tuple[Message, ...]:
        if self._messages is None:
            assert self.written_again is not None
            self._messages = self.written_again()
        return self._messages

    def release(self) -> None:
        """Free the text until it is needed again: a model that answers has read it."""
        if self.written_again is not None:
            self._messages = None

    @property
    def length(self) -> int:
        """Characters of all messages."""
        return sum(len(message.content) for message in self.messages)

    @property
    def size(self) -> int:
        """Bytes of all messages, in UTF-8."""
        return sum(
            len(text) if (text := message.content).isascii() else len(text.encode(errors="replace"))
            for message in self.messages
        )
