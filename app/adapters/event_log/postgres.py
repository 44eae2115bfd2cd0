"""The channel of running turns in PostgreSQL: an unlogged table, and one notification for many rows.

A crash of the database empties the table. The publisher's row in `log_owners` is gone then, so that its
next rows are refused and it writes its logs again; who follows a turn waits for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from app.adapters.event_log.shared import LogRow
from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.listening import PostgresListener, payloads
from app.errors import StoreUnavailable
from app.tasks import Errand

log = structlog.get_logger(__name__)


class PostgresLogChannel:
    """`engine` has a connection for writing; `reading` is the journal's."""

    def __init__(
        self,
        engine: PostgresEngine,
        reading: PostgresEngine,
        listener: PostgresListener,
        owner: str,
    ) -> None:
        self._engine = engine
        self._reading = reading
        self._owner = owner
        self._channel = listener.hear("log", self._heard, self._gap)
        self._wanted: Callable[[], Mapping[str, int]] = dict
        self._deliver: Callable[[Iterable[LogRow]], None] = lambda _: None
        self._news: set[str] = set()
        self._errand = Errand("postgres-log-reader", self._read_news)

    async def publish(self, rows: Sequence[LogRow], *, rewriting: bool, whole: bool) -> bool:
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        turns = payloads(list(dict.fromkeys(columns[0])))
        values = (*columns, whole, rewriting, self._channel, turns)
        return bool(await self._engine.value(sql.APPEND_LOG, self._owner, *values))

    async def read(self, seen: Mapping[str, int]) -> list[LogRow]:
        rows = await self._reading.fetch(sql.READ_LOG, list(seen), list(seen.values()))
        return [(row["turn_id"], row["first"], 0, row["data"]) for row in rows]

    async def drop(self, turn_ids: Sequence[str]) -> None:
        await self._engine.fetch(sql.DROP_LOG, list(turn_ids))

    def start(
        self, wanted: Callable[[], Mapping[str, int]], deliver: Callable[[Iterable[LogRow]], None]
    ) -> None:
        self._wanted, self._deliver = wanted, deliver

    async def aclose(self) -> None:
        await self._errand.cancel()

    def _heard(self, payload: str) -> None:
        """Each process hears of all turns of all others, and mostly follows none of them."""
        if wanted := self._wanted():
            self._look(wanted.keys() & set(payload.split(",")))

    def _gap(self) -> None:
        self._look(self._wanted().keys())

    def _look(self, turns: Iterable[str]) -> None:
        self._news.update(turns)
        if self._news:
            self._errand.begin()

    async def _read_news(self) -> None:
        while self._news:
            news, self._news = self._news, set()
            wanted = self._wanted()
            seen = {turn_id: wanted[turn_id] for turn_id in news if turn_id in wanted}
            try:
                self._deliver(await self.read(seen) if seen else ())
            except StoreUnavailable:
                return  # silence is looked into
