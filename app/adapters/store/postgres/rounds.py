"""The rounds of tables in PostgreSQL, one document each: changed only from what it was read as."""

from __future__ import annotations

import os
from typing import Final

from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.lines import lines_text
from app.core.rounds import Round
from app.core.tables import NewLine
from app.ports.tables import RoundChange

_ROUND: Final = "SELECT document, md5(document) AS mark FROM rounds WHERE table_id = $1"
_CHANGE: Final = "SELECT change_round_1($1, $2, $3, $4, $5, $6, $7)"
_DUE: Final = "SELECT table_id, due FROM rounds WHERE due IS NOT NULL ORDER BY due"


class PostgresRounds:
    """The part of `TableStore` that is about rounds."""

    _engine: PostgresEngine

    async def round(self, table_id: int) -> Round:
        return (await self._round(table_id))[0]

    async def _round(self, table_id: int) -> tuple[Round, str]:
        rows = await self._engine.fetch(_ROUND, table_id)
        if not rows:
            return Round(), ""
        return Round.model_validate_json(rows[0]["document"]), rows[0]["mark"]

    async def change_round(
        self, table_id: int, make: RoundChange, now: float, said: NewLine | None = None
    ) -> Round:
        lines = lines_text([] if said is None else [said])
        while True:
            known, mark = await self._round(table_id)
            made = make(known)
            if made is None:
                return known
            document, act = made.model_dump_json(), os.urandom(12)
            values = mark, document, made.due, lines, now, act
            if await self._engine.value(_CHANGE, table_id, *values):
                return made

    async def rounds_due(self) -> list[tuple[int, float]]:
        return [(row["table_id"], row["due"]) for row in await self._engine.fetch(_DUE)]
