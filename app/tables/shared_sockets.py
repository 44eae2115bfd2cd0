"""Sockets of clients who send no user id: each may be another person, though all are one user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from app.core.access import ANONYMOUS
from app.core.encoding import dump
from app.errors import StoreUnavailable
from app.ports.signals import Signal, Signals
from app.tables.feed import TableFeed
from app.tables.presence import Presence
from app.tables.visit import Visit
from app.tasks import Errand
from app.web.dialects.rpg import POSTED

GONE: Final = {"type": "system", "content": "A player has disconnected"}


class SharedSockets:
    """The open sockets of each table in this process, of whatever users.

    Presence shows that a user is gone once the last of their connections is, in whatever process. Where one
    without a user id stays, this shows to the sockets of all processes that another one has closed.
    """

    def __init__(self, presence: Presence, signals: Signals) -> None:
        self._open: dict[int, list[TableFeed]] = {}
        self._closed: list[int] = []  # the tables of those that have closed
        self._presence = presence
        self._signals = signals
        self._errand = Errand("table-sockets", self._run)
        signals.receive(self._signalled)

    def _signalled(self, signal: Signal) -> None:
        if signal.kind == "left":
            self._show(int(signal.key))

    @contextmanager
    def having(self, visit: Visit, feed: TableFeed) -> Iterator[None]:
        """While the socket is open."""
        table_id = visit.table.id
        self._open.setdefault(table_id, []).append(feed)
        try:
            yield
        finally:
            self._open[table_id].remove(feed)
            if not self._open[table_id]:
                del self._open[table_id]
            if visit.caller.user_id == ANONYMOUS:
                self._closed.append(table_id)
                self._errand.begin()

    async def aclose(self) -> None:
        """Finish what was begun."""
        await self._errand.finish()

    async def _run(self) -> None:
        while self._closed:
            table_id = self._closed.pop(0)
            # Once others are told, they find this one no more.
            await self._presence.changed(table_id).wait()
            with suppress(StoreUnavailable):  # nobody knows then who is there
                if ANONYMOUS in await self._presence.of(table_id):
                    self._show(table_id)
                    self._signals.send(Signal("left", str(table_id)))

    def _show(self, table_id: int) -> None:
        for feed in self._open.get(table_id, ()):
            feed.post((0, POSTED, dump(GONE).encode("ascii")))
