"""Connections to tables, as a store that one process has for itself knows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class SqliteAttendance:
    """That part of `TableStore`: there is no other process."""

    async def meet(self, here: Mapping[int, Mapping[str, str]]) -> Mapping[int, Mapping[str, str]]:
        return {}

    async def elsewhere(self, table_id: int) -> Mapping[str, str]:
        return {}

    async def lead(
        self, held: Collection[int], taken: Collection[int], left: Collection[int]
    ) -> Collection[int]:
        return ()
