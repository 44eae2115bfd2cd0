"""What a language model is asked: messages and the schema of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One message of the conversation that a model continues."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON schema in the strict form of providers. `name`: letters, digits and underscores."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """`schema`: of the answer; None for free text. `hints`: structured facts for generators that do not
    read language, such as the offline storyteller."""

    messages: tuple[Message, ...]
    schema: JsonSchema | None = None
    hints: object = None

    @property
    def length(self) -> int:
        """Characters of all messages."""
        return sum(len(message.content) for message in self.messages)
