"""PostgreSQL and Redis of the bench, and what a turn costs there."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.store import PostgresTurnStore
from tools.engines import PostgresServer

FLUSH: Final = "append_log"
REPORTED: Final = 11.0
SCHEMA: Final = "bench"
_TICK: Final = os.sysconf("SC_CLK_TCK")
_YEARS: Final = 10 * 365 * 86_400.0
# What belongs to a character, a user or a process, and not to a turn.
_LASTING: Final = (
    *("characters", "places", "spending", "secrets", "nodes", "schema_version"),
    "log_owners",
)


@dataclass(frozen=True)
class Counters:
    """Sums since the server began, or between two moments. `statements` are those of the service, without
    `flushes` of the event log. `cpu`: seconds of all processes of the server. `rows`: written ones, which a
    session that has become idle reports within `REPORTED` seconds."""

    statements: float = 0
    flushes: float = 0
    rows: float = 0
    wal: float = 0
    size: float = 0
    cpu: float = 0

    def since(self, before: Counters) -> Counters:
        mine, former = vars(self), vars(before)
        return Counters(**{name: value - former[name] for name, value in mine.items()})

    def each(self, turns: int) -> Counters:
        return Counters(**{name: value / turns for name, value in vars(self).items()})


class BenchPostgres(PostgresServer):
    """It waits for the disk at each commit, as the SQLite journal does, and counts statements."""

    def __init__(self) -> None:
        super().__init__(
            safe=True,
            shared_preload_libraries="pg_stat_statements",
            **{"pg_stat_statements.track": "top", "pg_stat_statements.max": "10000"},
        )
        self.psql("CREATE EXTENSION pg_stat_statements")

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres?search_path={SCHEMA}"

    def counters(self) -> Counters:
        """Statements are those of nodes; reading the counters is none."""
        calls = (
            f"SELECT coalesce(sum(calls) FILTER (WHERE query NOT LIKE '%{FLUSH}%'), 0),"
            f" coalesce(sum(calls) FILTER (WHERE query LIKE '%{FLUSH}%'), 0),"
            " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'),"
            " (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables),"
            " (SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables)"
            " FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'"
        )
        statements, flushes, wal, rows, size = map(float, self.psql(calls).split("|"))
        return Counters(statements, flushes, rows, wal, size, self.cpu())

    def cpu(self) -> float:
        """Seconds, of the processes that there are and of those that have ended."""
        return sum(map(_cpu_of, [self.pid, *_children(self.pid)]))

    def rows_of_turns(self) -> dict[str, int]:
        """By table, of those that hold something."""
        names = self.psql(
            f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}'"
        ).splitlines()
        held = {
            name: int(self.psql(f"SELECT count(*) FROM {SCHEMA}.{name}"))
            for name in names
            if name not in _LASTING
        }
        return {name: count for name, count in held.items() if count}

    def expire_turns(self) -> int:
        """As the service's own maintenance will do once they are old enough; how many went."""
        return asyncio.run(_expired(self.url))


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_of(pid: int) -> float:
    """Seconds, with those of children that were waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = re.sub(r"^.*\) ", "", stat).split()
    return sum(map(int, fields[11:15])) / _TICK


async def _expired(url: str) -> int:
    def fatal(reason: str) -> None:
        raise SystemExit(reason)

    store = PostgresTurnStore(Database(url), on_fatal=fatal)
    try:
        return await store.expire(time.time() + _YEARS)
    finally:
        await store.aclose()


async def flush_ceiling(url: str, seconds: float, publishers: int = 8) -> float:
    """Flushes a second of so many sessions, each with eight turns of 700 bytes."""
    database = Database(url)
    async with asyncio.timeout(60):
        counts = await asyncio.gather(
            *(_flush_for(database, seconds, number) for number in range(publishers))
        )
    return sum(counts) / seconds


async def _flush_for(database: Database, seconds: float, number: int) -> int:
    connection = await database.connect("bench")
    turns = [f"bench-{number}-{place}" for place in range(8)]
    parts = [b"x" * 700] * len(turns)
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        count += 1
        places = [count] * len(turns)
        values = (turns, places, places, parts, False, True, "bench", [",".join(turns)])
        await connection.fetch(sql.APPEND_LOG, f"bench-{number}", *values)
    await connection.fetch(sql.DROP_LOG, turns)
    await connection.close()
    return count


def redis_ceiling(port: int, seconds: float) -> float:
    """Commands a second of Redis as flushes send them: an XADD of some tokens."""
    keys = [b"bench-%d" % number for number in range(100)]
    batch = b"".join(_command(b"XADD", key, b"*", b"f", b"1", b"d", b"x" * 150) for key in keys)
    count, until = 0, time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        answers = connection.makefile("rb")
        while time.monotonic() < until:
            connection.sendall(batch)
            for _ in range(2 * len(keys)):  # lines: a length and an id
                answers.readline()
            count += len(keys)
        connection.sendall(_command(b"DEL", *keys))
        answers.readline()
    return count / seconds


def _command(*words: bytes) -> bytes:
    parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%s" % (len(words), parts)
