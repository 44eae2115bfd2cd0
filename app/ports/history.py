"""The turns of a character in the journal."""

from __future__ import annotations

from typing import Protocol

from app.ports.store import StoredTurn, TurnStatus, TurnStore


class TurnHistory(Protocol):
    """The turns of a user's character, as far back as they are kept, in the order of admission."""

    async def character_turns(
        self, user_id: str, character_id: str, limit: int, before: str | None = None
    ) -> list[StoredTurn]:
        """Newest first, open ones included; `before`: only those admitted before that turn."""
        ...

    async def turns_since(
        self, user_id: str, character_id: str, turn_id: str | None
    ) -> list[tuple[str, TurnStatus]]:
        """Turns admitted after that turn, oldest first; None: all of them. The open ones only where
        that turn is no longer kept."""
        ...

    async def open_turns(self, user_id: str, character_id: str) -> list[tuple[str, TurnStatus]]:
        """Turns that have not ended, oldest first: the running one before queued ones."""
        ...

    async def has_played(self, user_id: str, character_id: str) -> bool:
        """Whether a turn of the user's was completed, which only a character's owner can do."""
        ...

    async def is_repeated(
        self, turn_id: str, user_id: str, body_hash: bytes, key: str | None
    ) -> bool:
        """Whether such a request began that turn. `key` None: with any key, or none."""
        ...


class TurnJournal(TurnStore, TurnHistory, Protocol):
    """All that the journal of turns can do."""
