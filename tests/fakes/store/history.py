"""The turns of a character in the in-memory journal, which has them in the order of admission."""

from __future__ import annotations

from app.ports.store import StoredTurn, TurnStatus

from fakes.store.journal import Journal, Row


class MemoryTurnHistory:
    """`TurnHistory` on the store's journal."""

    _journal: Journal

    async def character_turns(
        self, user_id: str, character_id: str, limit: int, before: str | None = None
    ) -> list[StoredTurn]:
        rows = self._of_character(user_id, character_id)
        if before is not None:
            ids = [row.turn_id for row in rows]
            rows = rows[: ids.index(before)] if before in ids else []
        return [row.stored() for row in rows[::-1][:limit]]

    async def turns_since(
        self, user_id: str, character_id: str, turn_id: str | None
    ) -> list[tuple[str, TurnStatus]]:
        rows = self._of_character(user_id, character_id)
        ids = [row.turn_id for row in rows]
        if turn_id in ids:
            rows = rows[ids.index(turn_id) + 1 :]
        elif turn_id is not None:
            return await self.open_turns(user_id, character_id)
        return [(row.turn_id, row.status) for row in rows]

    async def open_turns(self, user_id: str, character_id: str) -> list[tuple[str, TurnStatus]]:
        rows = self._of_character(user_id, character_id)
        return [(row.turn_id, row.status) for row in rows if row.phase != "done"]

    async def has_played(self, user_id: str, character_id: str) -> bool:
        rows = self._of_character(user_id, character_id)
        return any(row.status == "complete" for row in rows)

    def _of_character(self, user_id: str, character_id: str) -> list[Row]:
        whose = (user_id, character_id)
        rows = self._journal.turns.values()
        return [r for r in rows if (r.request.user_id, r.request.character_id) == whose]

    async def is_repeated(
        self, turn_id: str, user_id: str, body_hash: bytes, key: str | None
    ) -> bool:
        row = self._journal.turns.get(turn_id)
        if row is None or (row.request.user_id, row.body_hash) != (user_id, body_hash):
            return False
        return key is None or row.key in (None, key)
