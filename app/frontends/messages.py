"""The messages of a chat, as front ends send them: all that was ever said, of which only the end counts.

Messages are left as text until somebody looks at them, newest first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from app.core.encoding import dump
from app.core.text import has_visible
from app.errors import ValidationError

Kind = TypeVar("Kind")
MAX_BODY = 4 * 1024 * 1024  # bytes
TAIL = 1_000  # messages that are looked at
_BYTE_ORDER_MARK = "\ufeff".encode()


class ChatMessage(msgspec.Struct):
    """One message in any of the protocols; unknown members are ignored."""

    role: str | None = None
    id: Any = None
    content: Any = None
    parts: Any = None

    @property
    def text(self) -> str:
        """Its parts of type `text`, joined by line feeds."""
        if isinstance(self.content, str):
            return self.content
        parts = self.parts if isinstance(self.parts, list) else self.content
        found = (
            [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        )
        texts = [part.get("text") for part in found if part.get("type") == "text"]
        return "\n".join(text for text in texts if isinstance(text, str))

    @property
    def name(self) -> str | None:
        """Its id, where it is one."""
        return self.id if isinstance(self.id, str) and self.id else None


def decoded(body: bytes | msgspec.Raw, kind: type[Kind], where: str = "") -> Kind:
    """Raises `ValidationError` that names the member, under `where`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        name = where + path.rstrip("`") if path else where
        raise ValidationError(f"{name.lstrip('.') or 'body'}: {message}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ValidationError(f"{where or 'body'}: the body is not valid JSON") from None


def read_chat(body: bytes, kind: type[Kind]) -> Kind:
    """A request with `messages`. Raises `ValidationError`."""
    return decoded(body.removeprefix(_BYTE_ORDER_MARK), kind)


def newest_first(messages: Sequence[msgspec.Raw]) -> Iterator[ChatMessage]:
    """The last `TAIL` of them. Raises `ValidationError` for one that is no object."""
    for place in range(len(messages) - 1, max(len(messages) - TAIL, 0) - 1, -1):
        yield decoded(messages[place], ChatMessage, f"messages[{place}]")


def said(message: ChatMessage) -> str:
    """Its text without space around it; empty where nobody would see any."""
    text = message.text.strip()
    return text if has_visible(text) else ""


def digest(*parts: Any) -> str:
    """A key or mark of bounded length for ids and texts of any length."""
    return hashlib.sha256(dump(parts).encode()).hexdigest()
