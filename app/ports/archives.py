"""The data of one character or one user in the journal: exported, imported and erased as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from app.core.archive import Archive


class Added(NamedTuple):
    """Numbers of the items that were new."""

    turns: int = 0
    contents: int = 0


Erased = Mapping[str, int]
"""Rows removed or cleared, by the name of what they held."""


class Archives(Protocol):
    """Blocking, for the command line. Each method is one transaction. Raises `ArchiveRefused` where the
    journal is in no state for it; then nothing was changed."""

    def players(self, character_id: str) -> list[str]:
        """Users who have completed a turn of the character."""
        ...

    def read(self, user_id: str, character_id: str) -> Archive:
        """Without the part of journey-log. Refused while a turn of the character is open."""
        ...

    def add(self, archive: Archive, *, check_only: bool = False) -> Added:
        """Add what is not here yet. Refused where something else is here under the same name.
        `check_only`: change nothing."""
        ...

    def forget(self, user_id: str, characters: Collection[str] = ()) -> Erased:
        """Erase what there is of the user, and of these characters beside those that the journal knows to
        be the user's. Refused while a turn of the user is open, or one at a table of the user."""
        ...
