"""Content as it is kept. One is added by the turn that ends with it, see `Ending`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.core.access import Owner, Resource, user


@dataclass(frozen=True, slots=True)
class KeptContent:
    """`body`: the answer, as JSON. `created_at` in epoch seconds."""

    content_id: str
    user_id: str
    kind: str
    parent_id: str | None
    created_at: float
    body: dict[str, Any]

    @property
    def owner(self) -> Owner:
        return user(self.user_id)

    @property
    def resource(self) -> Resource:
        """The content as the access policy sees it."""
        return Resource(self.content_id, self.owner, self.parent_id, "content")


class Contents(Protocol):
    """Every method is one transaction. Raises `StoreUnavailable`."""

    async def content(self, content_id: str) -> KeptContent | None: ...

    async def contents(
        self, user_id: str, limit: int, *, parent: str | None = None, before: str | None = None
    ) -> Sequence[KeptContent]:
        """A user's own, newest first. `parent`: only what belongs to it. `before`: only what is older than
        the content with that id; nothing where there is none."""
        ...

    async def keep_content(self, content: KeptContent) -> None:
        """Keep one that no turn ends with; one that is there already stays."""
        ...

    async def remove_content(self, content_id: str) -> bool:
        """Whether it was there. What belongs to it stays."""
        ...

    async def expire_contents(self, before: float) -> int:
        """Remove a bounded number of those made before then; how many."""
        ...
