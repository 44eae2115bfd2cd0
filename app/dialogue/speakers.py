"""Selecting the persona that answers a message: the one asked for, else the one named in the text,
else the next in turn."""

from __future__ import annotations

import re

from app.core.conversation import Conversation, Persona
from app.core.text import whole_word
from app.errors import ValidationError


def speaker_of(conversation: Conversation, asked: str, message: str) -> Persona | None:
    """None: the co-host itself, which answers where there are no personas.

    `asked` beats a name in the message, of which the first counts. Raises `ValidationError` for a
    speaker that the conversation does not have.
    """
    personas = conversation.personas
    if asked:
        return _named(personas, asked)
    if not personas:
        return None
    return _mentioned(personas, message) or _next(conversation)


def _named(personas: tuple[Persona, ...], asked: str) -> Persona:
    for one in personas:
        if one.name.casefold() == asked.casefold():
            return one
    known = ", ".join(one.name for one in personas) or "none"
    raise ValidationError(f"speaker: this conversation has no such persona; known are: {known}")


def _mentioned(personas: tuple[Persona, ...], message: str) -> Persona | None:
    found = [
        (at.start(), -len(one.name), one)
        for one in personas
        if (at := re.search(whole_word(one.name), message, re.IGNORECASE))
    ]
    return min(found, key=lambda each: each[:2])[2] if found else None


def _next(conversation: Conversation) -> Persona:
    """The one behind whoever spoke last."""
    personas = conversation.personas
    names = [one.name for one in personas]
    last = next((one.speaker for one in reversed(conversation.exchanges) if one.speaker), "")
    return personas[(names.index(last) + 1) % len(personas) if last in names else 0]
