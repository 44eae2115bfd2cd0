"""One connection to PostgreSQL: how it is made, what is asked of the server, which errors pass."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]

Connection: TypeAlias = Any  # asyncpg.Connection; the library has no types
PostgresError = asyncpg.PostgresError
CONNECT_SECONDS: Final = 3.0
DEFAULT_SCHEMA: Final = "dungeon_master"
OLDEST: Final = 14  # `client_connection_check_interval`

LOST: Final[tuple[type[Exception], ...]] = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # "another operation is in progress", where the server has just gone
    ConnectionError,
    OSError,
    TimeoutError,
    EOFError,
)
"""What a statement raises whose connection has gone."""
_PASSING: Final = ("08", "40", "53", "57", "58", "XX", "55P03", "25006")
"""SQLSTATEs, or their first letters, of a server that is away, full, busy or no primary."""

_SERVER_SETTINGS: Final[Mapping[str, str]] = {
    # Both ends notice within seconds that the other one has gone without a word.
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "lock_timeout": "3s",
    "statement_timeout": "30s",
    "jit": "off",
}


STARTUP_PARAMETERS: Final = (*_SERVER_SETTINGS, "application_name", "search_path")
"""What is asked of the server when a session begins."""
NOTHING: Final[Mapping[str, str]] = {}


class Unusable(Exception):
    """The server is none that the journal can be kept on; the message is for an operator."""


class Database:
    """Where the journal is: a URL (`postgresql://…`) whose `search_path` may name another schema."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        self.schema = query.pop("search_path", DEFAULT_SCHEMA)
        self._url = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(query)))

    async def connect(
        self, name: str, settings: Mapping[str, str] = NOTHING, seconds: float = CONNECT_SECONDS
    ) -> Connection:
        """Raises one of `LOST` or `PostgresError`. `name`: as an operator sees the session."""
        own = {
            **_SERVER_SETTINGS,
            "application_name": f"dungeon-master {name}",
            "search_path": self.schema,
        }
        return await asyncpg.connect(
            self._url, timeout=seconds, command_timeout=None, server_settings={**own, **settings}
        )


def passes(error: Exception) -> bool:
    """Whether the same statement may succeed later."""
    if isinstance(error, PostgresError):
        return str(error.sqlstate).startswith(_PASSING)
    unfit = isinstance(error, ValueError)  # a value that is none of its column's type
    return isinstance(error, LOST) and not unfit


async def bounded(connection: Connection, seconds: float, sql: str, *values: Any) -> list[Any]:
    """The rows of a statement. A server that is silent for so long has lost its connection: it is not
    asked to cancel, which could take as long again."""
    timer = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        rows: list[Any] = await connection.fetch(sql, *values)
        return rows
    except (
        AttributeError
    ) as error:  # of asyncpg, whose connection was ended between two of its steps
        if connection.is_closed():
            raise ConnectionResetError("the connection was ended") from error
        raise
    finally:
        timer.cancel()


async def check_server(connection: Connection) -> None:
    """Raises `Unusable` for a pooler, a standby, or a server that is too old."""
    if connection.get_server_version().major < OLDEST:
        raise Unusable(f"PostgreSQL {OLDEST} or newer is needed")
    for _ in range(2):
        if connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()"):
            raise Unusable(
                "a connection pooler is in between (PgBouncer or the like), which hands statements to"
                " sessions of others; name PostgreSQL itself"
            )
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        raise Unusable("this server is a standby, which takes no writes; name the primary")
