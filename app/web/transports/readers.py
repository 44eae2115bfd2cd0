"""The open streams: how many there may be, and what became of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.errors import Overloaded, RateLimitExceeded
from app.eventlog.observe import ReaderClosed, ReaderOpened


class Reader(Protocol):
    """One that reads for an open stream. `position`: where, in the log that it reads."""

    @property
    def position(self) -> int: ...

    @property
    def at_end(self) -> bool: ...

    @property
    def trimmed(self) -> bool: ...

    def leave(self) -> None:
        """Read no further."""
        ...

    def close(self) -> None: ...


class Readers:
    """Counts open streams, in all and per client, and reports each one's fate."""

    def __init__(self, limit: int, per_client: int, observe: Callable[[object], None]) -> None:
        self._limit = limit
        self._per_client = per_client
        self._observe = observe
        self._clients: dict[str, int] = {}
        self._cursors: set[Reader] = set()
        self.open = 0

    def take(self, client: str) -> Release:
        """Raises `Overloaded` or `RateLimitExceeded`."""
        if self.open >= self._limit:
            raise Overloaded(f"All {self._limit} streams of the service are in use.")
        if self._clients.get(client, 0) >= self._per_client:
            raise RateLimitExceeded(
                f"At most {self._per_client} streams may be open from one address; close one first.",
                retry_after=5,
            )
        self.open += 1
        self._clients[client] = self._clients.get(client, 0) + 1
        return Release(self, client)

    def send_away(self) -> None:
        """End every open stream; its reader may come back and go on where it was."""
        for cursor in list(self._cursors):
            cursor.leave()

    def _give_back(self, client: str) -> None:
        self.open -= 1
        left = self._clients[client] - 1
        if left:
            self._clients[client] = left
        else:
            del self._clients[client]

    def started(self, transport: str, cursor: Reader) -> None:
        """A stream has begun to send."""
        self._cursors.add(cursor)
        self._observe(ReaderOpened(transport))

    def ended(self, transport: str, turn_id: str, cursor: Reader) -> None:
        """A stream has sent its last, for whatever reason."""
        cursor.close()
        self._cursors.discard(cursor)
        left = not (cursor.at_end or cursor.trimmed)
        self._observe(ReaderClosed(transport, turn_id, cursor.position, disconnected=left))


class Release:
    """Gives a stream's place back, once. Entered as a context, it does so where the stream cannot begin."""

    __slots__ = ("_client", "_readers")

    def __init__(self, readers: Readers, client: str) -> None:
        self._readers: Readers | None = readers
        self._client = client

    def __enter__(self) -> Release:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self()

    def __call__(self) -> None:
        readers, self._readers = self._readers, None
        if readers is not None:
            readers._give_back(self._client)
