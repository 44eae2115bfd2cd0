"""What PostgreSQL is known to do, and what is not done because of it."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import Final

import pytest
from app.adapters.store.postgres import liveness as liveness_module
from app.adapters.store.postgres import outbox_statements, statements, table_statements
from app.adapters.store.postgres.connecting import _SERVER_SETTINGS, Database
from app.adapters.store.postgres.listening import MAX_PAYLOAD, payloads
from app.adapters.store.postgres.liveness import Liveness
from app.adapters.store.postgres.preparing import at_the_start
from app.adapters.store.postgres.schema import MIGRATIONS
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.postgres.watching import PeerWatch
from app.ports.contents import KeptContent
from hypothesis import example, given
from hypothesis import strategies as st

from databases import SERVERS
from journal import HASH, turn_request
from loops import in_loop
from serving import SOON
from waiting import eventually
from wires import Wire

PACKAGE = Path(statements.__file__).parent
MOST: Final = 7_999  # bytes that PostgreSQL takes in a notification


def ends(reason: str) -> None:
    raise AssertionError(reason)


# -- migrations -----------------------------------------------------------------------------------


def described(schema: str) -> list[str]:
    """Columns, indexes, constraints and functions."""
    found = SERVERS.postgres.psql(
        "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)"
        f" FROM information_schema.columns WHERE table_schema = '{schema}' UNION ALL"
        f" SELECT indexdef FROM pg_indexes WHERE schemaname = '{schema}' UNION ALL"
        " SELECT p.oid::regprocedure::text || md5(prosrc) FROM pg_proc p"
        f" WHERE pronamespace = '{schema}'::regnamespace"
    )
    return sorted(line.replace(schema, "") for line in found.splitlines())


_ROW_IN_EACH_TABLE: Final = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT table_name, string_agg(column_name, ', ') AS columns,
            string_agg(CASE data_type WHEN 'text' THEN '''a''' WHEN 'bytea' THEN '''b'''
                WHEN 'boolean' THEN 'true' ELSE '1' END, ', ') AS given
        FROM information_schema.columns
        WHERE table_schema = current_schema() AND is_identity = 'NO' GROUP BY table_name LOOP
        EXECUTE format('INSERT INTO %I (%s) VALUES (%s)', one.table_name, one.columns, one.given);
    END LOOP;
END $$;
"""


def at_version(version: int) -> Database:
    """A schema, with a row in each table, as the release left it that had so many migrations."""
    database = Database(SERVERS.postgres.url())
    scripts = ";".join(["", *MIGRATIONS[:version]])
    SERVERS.postgres.psql(
        f"CREATE SCHEMA {database.schema}; SET search_path TO {database.schema} {scripts};"
        f"{_ROW_IN_EACH_TABLE}"
        "CREATE TABLE schema_version (version integer NOT NULL);"
        f"INSERT INTO schema_version VALUES ({version})"
    )
    return database


def test_each_earlier_version_is_migrated_to_the_same_schema() -> None:
    databases = [at_version(version) for version in range(len(MIGRATIONS) + 1)]
    SERVERS.postgres.psql(f"DELETE FROM {databases[0].schema}.schema_version")  # killed before it
    with ThreadPoolExecutor(4) as threads:  # two processes begin with each
        list(threads.map(at_the_start, databases * 2))
    newest = described(databases[-1].schema)
    assert len(newest) > 100
    for version, database in enumerate(databases):
        assert described(database.schema) == newest, f"from version {version}"
        kept = f"SELECT count(*) FROM {database.schema}.turns"
        assert SERVERS.postgres.psql(kept) == str(min(version, 1)), f"from version {version}"


@in_loop
async def test_node_of_the_release_before_goes_on_beside_added_columns() -> None:
    database = Database(SERVERS.postgres.url())
    store = PostgresTurnStore(database, on_fatal=ends)
    store.open()
    content = KeptContent("c1", "ann", "text", None, 1.0, {})
    await store.keep_content(content)
    await store.admit("t1", turn_request(), HASH)
    for _ in range(2):  # behind what the driver has prepared, too
        assert await store.content("c1") == content
        assert await store.contents("ann", 10) == [content]
        assert await store.turn("t1") is not None
        assert await store.find_by_key("ann", "k", HASH) is None
        for table in ("turns", "contents", "events", "nodes"):
            added = f"ALTER TABLE {database.schema}.{table} ADD COLUMN c{token_hex(4)} integer DEFAULT 1"
            await asyncio.to_thread(SERVERS.postgres.psql, added)
    await store.aclose()


def test_no_statement_takes_whatever_columns_a_table_has() -> None:
    said = [
        text
        for module in (statements, table_statements, outbox_statements)
        for text in vars(module).values()
        if isinstance(text, str)
    ]
    assert len(said) > 60
    assert not [text for text in said if re.search(r"\*\s.*FROM \w+(?![\w(])", text)]


# -- sessions ---------------------------------------------------------------------------------------


@in_loop
async def test_each_session_ends_when_one_side_has_gone() -> None:
    connection = await Database(SERVERS.postgres.url("emptied")).connect("tests")
    for name, value in _SERVER_SETTINGS.items():
        assert await connection.fetchval("SELECT current_setting($1)", name) == value
    for name in ("client_connection_check_interval", "idle_in_transaction_session_timeout"):
        assert name in _SERVER_SETTINGS
    await connection.close()


def test_no_transaction_of_a_node_takes_two_round_trips() -> None:
    """One that is paused between them would hold its locks. Migrations and the commands that archive and
    erase are no nodes'."""
    opening = re.compile(r"\.transaction\(|\bBEGIN;|START TRANSACTION", re.IGNORECASE)
    found = {file.name for file in PACKAGE.glob("*.py") if opening.search(file.read_text())}
    assert found == {"archives.py", "preparing.py"}


@in_loop
async def test_wait_for_the_lock_of_a_peer_lets_vacuum_through() -> None:
    """Its snapshot would hold back what VACUUM may remove for as long as it lasts."""
    database = Database(SERVERS.postgres.emptied())
    peer = PostgresTurnStore(database, on_fatal=ends)
    await peer.liveness.wait_held(300)
    watch = PeerWatch(database, "0", lambda: ends("nobody has died"))
    watch.start()
    horizon = (
        "SELECT backend_xmin FROM pg_stat_activity WHERE application_name = 'dungeon-master watch'"
        " AND wait_event_type = 'Lock'"
    )

    def held() -> int:
        found = SERVERS.postgres.psql(horizon)
        return int(found.splitlines()[0]) if found else 0

    def wait() -> None:
        seen = [0]
        while not seen[-1]:
            seen.append(held())
        SERVERS.postgres.psql("SELECT txid_current()")
        eventually(lambda: held() > max(seen))

    await asyncio.to_thread(wait)
    await watch.aclose()
    await peer.aclose()


@in_loop
async def test_lock_whose_holder_is_cut_off_is_free_although_keepalives_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness_module, "IDLE_SECONDS", SOON)
    url = SERVERS.postgres.emptied()
    with closing(Wire(SERVERS.postgres.port)) as wire:
        through = url.replace(str(SERVERS.postgres.port), str(wire.port))
        live = Liveness(Database(through), ends)
        await live.wait_held(300)
        wire.cut.set()
        free = f"SELECT pg_try_advisory_lock(emptied.owner_key_1('{live.owner}'))"
        await asyncio.to_thread(eventually, lambda: SERVERS.postgres.psql(free) == "t")
        wire.cut.clear()
        await live.wait_held(300)
        await live.aclose()


# -- notifications ----------------------------------------------------------------------------------


def test_no_function_of_the_journal_notifies() -> None:
    """All commits with a notification wait for each other, those of other databases included."""
    SERVERS.postgres.emptied()
    notifying = SERVERS.postgres.psql(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'emptied'::regnamespace"
        " AND prosrc ~* 'notify'"
    )
    assert notifying.splitlines() == ["append_log_1"]
    named = {name for name, text in vars(statements).items() if "notify" in str(text).lower()}
    assert {name for name in named if name.isupper()} == {"NOTIFY"}


@example(["é" * 60] * 600)
@given(st.lists(st.text("abc-0é", min_size=1, max_size=60), max_size=600))
def test_no_notification_is_longer_than_the_server_takes(parts: list[str]) -> None:
    packed = payloads(parts)
    assert [part for one in packed for part in one.split(",")] == parts
    assert all(len(one.encode()) <= MOST for one in packed)
    assert MAX_PAYLOAD < MOST


class StoppedListener:
    """A session that listens and reads nothing."""

    def __init__(self, name: str, channel: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.connect(("127.0.0.1", SERVERS.postgres.port))
        pairs = ("user", "tests", "database", "postgres", "application_name", name)
        body = b"\0".join(word.encode() for word in pairs) + b"\0\0"
        self._socket.sendall(struct.pack("!ii", len(body) + 8, 196_608) + body)
        query = f"LISTEN {channel}".encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)

    def close(self) -> None:
        self._socket.close()


def test_listener_that_reads_nothing_is_found_and_ended() -> None:
    name = f"stopped {token_hex(4)}"
    of_it = f"FROM pg_stat_activity WHERE application_name = '{name}'"
    now = statements.DROP_STOPPED_LISTENERS.replace("30 s", "0 s").replace("$1", f"'{name}'")
    fill = (
        "SELECT count(pg_notify('stopped', repeat('x', 7900) || n)) FROM generate_series(1, 200) n"
    )

    def stuck() -> bool:
        SERVERS.postgres.psql(fill)
        return "ClientWrite" in SERVERS.postgres.psql(f"SELECT wait_event {of_it}")

    with closing(StoppedListener(name, "stopped")):
        eventually(stuck)
        assert SERVERS.postgres.psql(now) == "t"
        eventually(lambda: SERVERS.postgres.psql(f"SELECT count(*) {of_it}") == "0")
