"""The native dialect: each event as it is in the log, one message under its own number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.core.events import Entry
from app.web.dialects.dialect import NO_HEADERS, Dialect, Message


class Native:
    name = "native"
    identity = True
    retry = True
    done = True
    ids = True
    headers: Mapping[str, str] = NO_HEADERS

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> None:
        """The fold has no state."""

    def fold(self, state: None, entry: Entry) -> tuple[None, tuple[Message]]:
        seq, _, data = entry
        return None, (Message(data, seq),)

    def token(self, state: None, data: bytes) -> bytes:
        """As it is."""
        return data

    def ended(self, state: None) -> bool:
        """Not known without a state; a reader knows."""
        return False

    def cut(self, state: None) -> tuple[()]:
        """A stream without a terminal event is broken by itself."""
        return ()


NATIVE: Final[Dialect[None]] = Native()
