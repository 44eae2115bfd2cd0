"""Content in PostgreSQL; a turn's end adds what it has made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.rows import storable
from app.core.encoding import dump
from app.ports.contents import KeptContent

EXPIRED_AT_ONCE: Final = 200


def content_values(content: KeptContent | None) -> tuple[list[str | None] | None, float | None]:
    """The texts of a row, without its time, and its time."""
    if content is None:
        return None, None
    keys = content.content_id, content.user_id, content.kind
    parent = None if content.parent_id is None else storable(content.parent_id)
    return [*map(storable, keys), parent, dump(content.body)], content.created_at


def _kept(row: Mapping[str, Any]) -> KeptContent:
    return KeptContent(
        content_id=row["content_id"],
        user_id=row["user_id"],
        kind=row["kind"],
        parent_id=row["parent_id"],
        created_at=row["created_at"],
        body=json.loads(row["body"]),
    )


class PostgresContents:
    """`Contents` on the store's engine."""

    engine: PostgresEngine

    async def content(self, content_id: str) -> KeptContent | None:
        rows = await self.engine.fetch(sql.CONTENT, storable(content_id))
        return _kept(rows[0]) if rows else None

    async def contents(
        self, user_id: str, limit: int, *, parent: str | None = None, before: str | None = None
    ) -> list[KeptContent]:
        own, above, mark = map(_text, (user_id, parent, before))
        return [
            _kept(row) for row in await self.engine.fetch(sql.CONTENTS, own, above, mark, limit)
        ]

    async def keep_content(self, content: KeptContent) -> None:
        await self.engine.value(sql.KEEP_CONTENT, *content_values(content))

    async def remove_content(self, content_id: str) -> bool:
        return bool(await self.engine.value(sql.REMOVE_CONTENT, storable(content_id)))

    async def expire_contents(self, before: float) -> int:
        return int(await self.engine.value(sql.EXPIRE_CONTENTS, before, EXPIRED_AT_ONCE))


def _text(value: str | None) -> str | None:
    return None if value is None else storable(value)
