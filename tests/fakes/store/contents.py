"""Content in the in-memory journal, kept encoded as on a disk."""

from __future__ import annotations

import json
from dataclasses import replace

from app.core.encoding import dump
from app.ports.contents import KeptContent

from fakes.store.journal import Journal


class MemoryContents:
    """`Contents` on the store's journal."""

    _journal: Journal

    async def content(self, content_id: str) -> KeptContent | None:
        return self._journal.contents.get(content_id)

    async def contents(
        self, user_id: str, limit: int, *, parent: str | None = None, before: str | None = None
    ) -> list[KeptContent]:
        kept = self._journal.contents
        mark = kept.get(before or "")
        if before is not None and mark is None:
            return []
        found = sorted(
            (one for one in kept.values() if one.user_id == user_id), key=_place, reverse=True
        )
        found = [one for one in found if parent is None or one.parent_id == parent]
        return [one for one in found if mark is None or _place(one) < _place(mark)][:limit]

    async def keep_content(self, content: KeptContent) -> None:
        self._keep(content)

    def _keep(self, content: KeptContent) -> None:
        encoded = replace(content, body=json.loads(dump(content.body)))
        self._journal.contents.setdefault(content.content_id, encoded)

    async def remove_content(self, content_id: str) -> bool:
        return self._journal.contents.pop(content_id, None) is not None

    async def expire_contents(self, before: float) -> int:
        kept = self._journal.contents
        old = [one for one in kept if kept[one].created_at < before]
        for one in old:
            del kept[one]
        return len(old)


def _place(content: KeptContent) -> tuple[float, str]:
    return content.created_at, content.content_id
