"""The rounds of tables in PostgreSQL, one document each: changed only from what it was read as."""

from __future__ import annotations

from typing import Any, Final

from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.lines import PostgresLines, line_values
from app.core.rounds import Round
from app.core.tables import DeedKey, NewLine
from app.ports.tables import DeedMaker, RoundChange

_ROUND: Final = (
    "SELECT document, md5(document), 1 + coalesce((SELECT rolls FROM tables WHERE table_id = $1), 0)"
    " FROM (VALUES (1)) AS one LEFT JOIN rounds ON table_id = $1"
)
_CHANGE: Final = "SELECT change_round_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_DUE: Final = "SELECT table_id, due FROM rounds WHERE due IS NOT NULL ORDER BY due"


class PostgresRounds(PostgresLines):
    """The part of `TableStore` that is about rounds."""

    _engine: PostgresEngine

    async def round(self, table_id: int) -> Round:
        return (await self._round(table_id))[0]

    async def _round(self, table_id: int) -> tuple[Round, str, int]:
        """With the mark of its document, and the number of the table's next roll."""
        ((document, mark, roll),) = await self._engine.fetch(_ROUND, table_id)
        if document is None:
            return Round(), "", roll
        return Round.model_validate_json(document), mark, roll

    async def change_round(
        self, table_id: int, make: RoundChange, now: float, said: NewLine | None = None
    ) -> Round:
        while True:
            known, mark, _ = await self._round(table_id)
            made = make(known)
            if made is None:
                return known
            if await self._change(table_id, mark, made, line_values(said, now)):
                return made

    async def _change(self, table_id: int, mark: str, made: Round, line: list[Any]) -> bool:
        values = mark, made.model_dump_json(), made.due, *line
        return bool(await self._engine.value(_CHANGE, table_id, *values))

    async def collect(
        self, table_id: int, make: DeedMaker, now: float, key: DeedKey | None = None
    ) -> Round:
        while True:
            known, mark, roll = await self._round(table_id)
            made = make(known, roll)
            if made is None:
                return known
            if await self._change(
                table_id, mark, made[0], line_values(made[1], now, key, made[1].roll)
            ):
                return made[0]
            if key is not None and await self.deed(key, now) is not None:
                return await self.round(table_id)

    async def rounds_due(self) -> list[tuple[int, float]]:
        return [(row["table_id"], row["due"]) for row in await self._engine.fetch(_DUE)]
