"""What a language model is asked: messages and the schema of its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One message of the conversation that a model continues."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON schema in the strict form of providers. `name`: letters, digits and underscores.
    `example`: an answer in it."""

    name: str
    schema: Mapping[str, Any]
    example: Mapping[str, Any] | None = None

    def as_text(self) -> str:
        """For a prompt to a server that does not take the schema itself."""
        text = f"JSON schema of the answer:\n{_line(self.schema)}\n"
        if self.example is None:
            return text
        return f"{text}\nExample of an answer:\n{_line(self.example)}\n"


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """`schema`: of the answer; None for free text. `hints`: structured facts for generators that do not
    read language, such as the offline storyteller. `shorter`: the same request in at most that many
    characters, or as near to it as it can come; None where nothing can be left out.
    """

    messages: tuple[Message, ...]
    schema: JsonSchema | None = None
    hints: object = None
    shorter: Callable[[int], Prompt | None] | None = field(default=None, compare=False, repr=False)

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
