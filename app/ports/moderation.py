"""The port that moderates text for players."""

from __future__ import annotations

from typing import Protocol


class Moderator(Protocol):
    longest_phrase: int
    """How many characters a passage may have that it knows by its words; 0 where it knows none."""

    async def allows(self, text: str) -> bool:
        """Whether players may read this passage. Raises `LLMUnavailable` when no verdict can be had."""
        ...

    async def aclose(self) -> None: ...
