"""Lines of tables as PostgreSQL keeps them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from app.adapters.store.postgres import table_statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.rows import storable, texts
from app.adapters.store.retention import KEY_SECONDS
from app.adapters.store.table_rows import deed_from, line_from
from app.core.encoding import dump
from app.core.tables import DeedKey, Line, NewLine
from app.ports.tables import LineMaker

_LAST_LINE = 2**63 - 1


def said_values(said: NewLine) -> list[str | None]:
    """The columns of a line, as they can be kept."""
    data = None if said.data is None else dump(said.data)
    given = (said.sender, said.content, said.message_type, said.user_id)
    more = (said.turn_id, said.recipient, data)
    return [*map(storable, given), *(None if text is None else storable(text) for text in more)]


def lines_text(lines: Sequence[NewLine]) -> str:
    """The lines that `finish_4` adds to a table, as JSON."""
    return dump([said_values(said) for said in lines])


def line_values(
    said: NewLine | None, now: float, key: DeedKey | None = None, roll: int | None = None
) -> list[Any]:
    """What `say_2` and `change_round_2` take of a line, in a call of their own. `key` and `roll`: of a
    deed, which takes its roll's number."""
    line = None if said is None else dump(said_values(said))
    bound = (None, None) if key is None else (storable(key.key), key.body_hash)
    return [line, now, os.urandom(12), *bound, roll]


class PostgresLines:
    """The part of `TableStore` that is about lines."""

    _engine: PostgresEngine

    async def say(self, table_id: int, said: NewLine, now: float) -> Line:
        number = await self._engine.value(sql.SAY, table_id, *line_values(said, now))
        return Line(number, table_id, said, now)

    async def say_deed(
        self, table_id: int, make: LineMaker, now: float, key: DeedKey | None = None
    ) -> Line:
        while True:
            said = make(await self._engine.value(sql.NEXT_ROLL, table_id))
            number = await self._engine.value(
                sql.SAY, table_id, *line_values(said, now, key, said.roll)
            )
            if number is not None:
                return Line(number, table_id, said, now)
            if key is not None and (known := await self.deed(key, now)) is not None:
                return known

    async def deed(self, key: DeedKey, now: float) -> Line | None:
        values = storable(key.user_id), storable(key.key), now - KEY_SECONDS
        rows = await self._engine.fetch(sql.DEED_OF, *values)
        return deed_from(texts(rows[0]), key) if rows else None

    async def lines(
        self, table_id: int, reader: str, limit: int, before: int | None = None
    ) -> list[Line]:
        until = _LAST_LINE if before is None else before
        rows = await self._engine.fetch(sql.LINES, table_id, until, storable(reader), limit)
        return [line_from(texts(row)) for row in rows][::-1]

    async def lines_since(self, table_id: int, line_id: int, limit: int) -> list[Line]:
        rows = await self._engine.fetch(sql.LINES_SINCE, table_id, line_id, limit)
        return [line_from(texts(row)) for row in rows]
