"""Sockets of clients who send no user id: each may be another person, though all are one user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.core.access import ANONYMOUS
from app.core.encoding import dump
from app.tables.feed import TableFeed
from app.tables.visit import Visit
from app.web.dialects.rpg import POSTED

GONE: Final = {"type": "system", "content": "A player has disconnected"}


class SharedSockets:
    """The open sockets of each table in this process, of whatever users.

    Presence shows that a user is gone once the last of their connections is. Where another socket without
    a user id stays open, this shows to all that one has closed.
    """

    def __init__(self) -> None:
        self._open: dict[int, list[tuple[Visit, TableFeed]]] = {}

    @contextmanager
    def having(self, visit: Visit, feed: TableFeed) -> Iterator[None]:
        """While the socket is open."""
        table_id, one = visit.table.id, (visit, feed)
        self._open.setdefault(table_id, []).append(one)
        try:
            yield
        finally:
            others = [known for known in self._open[table_id] if known is not one]
            self._open[table_id] = others
            if not others:
                del self._open[table_id]
            if _anonymous(visit) and any(_anonymous(other) for other, _ in others):
                for _, other_feed in others:
                    other_feed.post((0, POSTED, dump(GONE).encode("ascii")))


def _anonymous(visit: Visit) -> bool:
    return visit.caller.user_id == ANONYMOUS
