"""The turns of a character in PostgreSQL, whose numbers grow in the order of admission."""

from __future__ import annotations

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.rows import storable, stored_turn
from app.ports.store import StoredTurn, TurnStatus


class PostgresTurnHistory:
    """`TurnHistory` on the store's engine."""

    engine: PostgresEngine
    owner: str

    async def character_turns(
        self, user_id: str, character_id: str, limit: int, before: str | None = None
    ) -> list[StoredTurn]:
        whose = storable(character_id), storable(user_id)
        rows = await self.engine.fetch(sql.CHARACTER_TURNS, *whose, before, limit)
        return [stored_turn(row, self.owner) for row in rows]

    async def turns_since(
        self, user_id: str, character_id: str, turn_id: str | None
    ) -> list[tuple[str, TurnStatus]]:
        whose = storable(character_id), storable(user_id)
        rows = await self.engine.fetch(sql.TURNS_SINCE, *whose, turn_id)
        return [(row["turn_id"], row["status"]) for row in rows]

    async def open_turns(self, user_id: str, character_id: str) -> list[tuple[str, TurnStatus]]:
        whose = storable(character_id), storable(user_id)
        rows = await self.engine.fetch(sql.OPEN_TURNS, *whose)
        return [(row["turn_id"], row["status"]) for row in rows]

    async def has_played(self, user_id: str, character_id: str) -> bool:
        whose = storable(character_id), storable(user_id)
        return bool(await self.engine.fetch(sql.HAS_PLAYED, *whose))

    async def is_repeated(
        self, turn_id: str, user_id: str, body_hash: bytes, key: str | None
    ) -> bool:
        """A turn that gave its key back may have had this one."""
        kept = None if key is None else storable(key)
        values = storable(turn_id), storable(user_id), body_hash, kept
        return bool(await self.engine.fetch(sql.IS_REPEATED, *values))

    async def recent_turns(self, character_id: str, limit: int) -> list[StoredTurn]:
        rows = await self.engine.fetch(sql.RECENT, storable(character_id), limit)
        return [stored_turn(row, self.owner) for row in rows]

    async def knows_place(self, character_id: str, name: str) -> bool:
        values = storable(character_id), storable(name)
        return bool(await self.engine.fetch(sql.KNOWS_PLACE, *values))
