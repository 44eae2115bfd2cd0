"""Content as transports see it: finding it again, what belongs to it, removing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.access import Action, Caller, may
from app.errors import NotFound
from app.ports.clock import Clock
from app.ports.contents import Contents, KeptContent

DAY, HOUR = 86_400.0, 3_600.0


@dataclass(eq=False)
class ContentService:
    """Reads and removes kept content. To a caller without access it does not exist. `forget` is called
    for removed content. `retention`: days."""

    _contents: Contents
    _clock: Clock
    _forget: Callable[[str], Awaitable[None]]
    _retention: int
    _looked: float = field(default=0.0, init=False)

    async def find(
        self, content_id: str, caller: Caller, action: Action = Action.READ
    ) -> KeptContent:
        """Raises `NotFound`."""
        found = await self._contents.content(content_id)
        if found is None or not may(caller, action, found.resource):
            raise NotFound("There is no such content.")
        return found

    async def described(self, content_id: str, caller: Caller) -> dict[str, Any]:
        """The answer as it was given, and what belongs to it now. Raises `NotFound`."""
        found = await self.find(content_id, caller)
        children = await self._contents.contents(caller.user_id, 100, parent=content_id)
        ids = [one.content_id for one in children]
        older = {"child_elements": ids} if "child_elements" in found.body else {}
        return {**shown(found), **older, "children": ids}

    async def listed(
        self, caller: Caller, limit: int, parent: str | None, before: str | None
    ) -> tuple[Sequence[KeptContent], str | None]:
        """The caller's own, newest first, and the id to go on before. Raises `NotFound` for a parent that
        is not the caller's."""
        if parent is not None:
            await self.find(parent, caller)
        found = await self._contents.contents(
            caller.user_id, limit + 1, parent=parent, before=before
        )
        return found[:limit], found[limit - 1].content_id if len(found) > limit else None

    async def remove(self, content_id: str, caller: Caller) -> None:
        """Raises `NotFound`."""
        await self.find(content_id, caller, Action.WRITE)
        await self._contents.remove_content(content_id)
        await self._forget(content_id)

    async def expire(self) -> None:
        """Remove what is past its time; looks once an hour."""
        now = self._clock.now()
        if now - self._looked >= HOUR:
            await self._contents.expire_contents(now - self._retention * DAY)
            self._looked = now


def shown(content: KeptContent) -> dict[str, Any]:
    """The content as clients read it."""
    return {"kind": content.kind, **content.body}
