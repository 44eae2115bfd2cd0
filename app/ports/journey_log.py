"""The journey-log service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from app.core.context import Context, Place
from app.core.writes import PlannedWrite
from app.ports.call import CallMeta


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of one write.

    done: journey-log took it. refused: journey-log itself said no, it will never land.
    not_sent: no connection was made. unknown: it may or may not have landed.
    """

    outcome: Literal["done", "refused", "not_sent", "unknown"]
    status: int | None = None
    error: str | None = None


class StoryTurn(NamedTuple):
    """A turn as journey-log keeps it, under an id of its own. `played_at`: epoch seconds."""

    id: str
    user_action: str
    narrative: str
    played_at: float


Landed = Literal["yes", "no", "other"]


"""What journey-log shows: the write; nothing of it; or something else in its place."""


class JourneyLog(Protocol):
    """Reads raise `CharacterNotFound`, `Forbidden`, `JourneyLogError` or `JourneyLogTimeout`."""

    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context: ...

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]: ...

    async def write(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> WriteResult:
        """Send once, never again by itself. Does not raise for what the network or the server does."""
        ...

    async def landed(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> Landed:
        """Look whether a write whose answer was lost has arrived. One attempt, raises as reads do."""
        ...

    async def adventure_prompt(self, user_id: str, character_id: str, meta: CallMeta) -> str:
        """The wished theme of the character's story, with its white space collapsed."""
        ...

    async def story(self, user_id: str, character_id: str, meta: CallMeta) -> list[StoryTurn]:
        """Newest first: the newest 100, which is all that journey-log shows."""
        ...

    async def create_character(self, user_id: str, fields: dict[str, str], meta: CallMeta) -> str:
        """The new character's id. Raises `CharacterExists`, `ValidationError` beside the above."""
        ...

    async def characters(self, user_id: str, meta: CallMeta) -> list[dict[str, Any]]: ...

    async def available(self) -> bool: ...

    async def aclose(self) -> None: ...
