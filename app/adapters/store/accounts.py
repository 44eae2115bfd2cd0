"""The accounts that a turn is charged to in addition to its user's budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.ports.turn import character_key

_OTHERS: Final = ("chat:", "content:")
"""How the character id begins of turns that no character takes."""


def accounts_of(user_id: str, character_id: str, exclusive_key: str) -> Iterator[str]:
    """The character's account, and the table's. In PostgreSQL, `accounts_1` does the same."""
    if character_id and not character_id.startswith(_OTHERS):
        yield character_key(character_id, user_id)
    if exclusive_key.startswith("table:"):
        yield exclusive_key
