"""PostgreSQL, Redis and NATS for tests, started from what is installed, each in a folder of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.adapters.store.postgres.connecting import STARTUP_PARAMETERS, Database
from app.adapters.store.postgres.preparing import at_the_start
from tools.ports import free_port

from installed import program

_NUMBERS = itertools.count(1)
_START_SECONDS = 300.0


def _postgres_bin() -> Path:
    """Where `initdb`, `pg_ctl` and `psql` are together: Debian has them outside PATH."""
    kept = Path("/usr/lib/postgresql")
    versions = sorted(kept.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else Path(program("initdb")).parent


NOBODY = 65534 if os.getuid() == 0 else None
"""Whom PostgreSQL runs as: it refuses to run as root."""


_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
            WHERE schemaname = current_schema() AND tablename <> 'schema_version' LOOP
        EXECUTE 'DELETE FROM ' || name;
    END LOOP;
END $$"""


class PostgresServer:
    """`safe`: it waits for the disk at each commit. It listens on 127.0.0.1 only."""

    def __init__(self, *, safe: bool = False, **settings: str) -> None:
        self._bin = _postgres_bin()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self.port = free_port()
        self._made = False
        if NOBODY is not None:
            os.chown(self._folder, NOBODY, NOBODY)
        self._run("initdb", "-U", "tests", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        quick = {} if safe else {"fsync": "off", "full_page_writes": "off"}
        wanted = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            **quick,
            **settings,
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in wanted.items())
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), "-D", str(self._data), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
            user=NOBODY,
            group=NOBODY,
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-t", "30", "-l", str(self._log))

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def url(self, schema: str | None = None) -> str:
        """Of a schema of its own, by default one that nobody has used."""
        name = schema or f"s{os.getpid()}_{next(_NUMBERS)}"
        return f"postgresql://tests@127.0.0.1:{self.port}/postgres?search_path={name}"

    def emptied(self) -> str:
        """The URL of a schema whose tables hold nothing: making one takes a fifth of a second."""
        url = self.url("emptied")
        database = Database(url)
        if not self._made:
            at_the_start(database)
            self._made = True
        at_the_start(database, _EMPTY)
        return url

    def psql(self, sql: str) -> str:
        command = [str(self._bin / "psql"), "-X", "-A", "-t", "-q", "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-U", "tests", "-d", "postgres", "-c", sql]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def kill_backend(self, application: str = "dungeon-master journal") -> None:
        """The server then ends all sessions and recovers, as after a crash."""
        pid = self.psql(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = '{application}' LIMIT 1"
        )
        os.kill(int(pid), signal.SIGKILL)

    def close(self) -> None:
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def pooled(server: PostgresServer) -> Iterator[str]:
    """The URL of a PgBouncer in front of the server that hands out transactions."""
    folder, port = Path(tempfile.mkdtemp(prefix="pgbouncer-")), free_port()
    (folder / "users").write_text('"tests" ""\n')
    (folder / "ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={server.port} user=tests\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder}/users\npool_mode = transaction\n"
        "ignore_startup_parameters = " + ", ".join(STARTUP_PARAMETERS) + "\n"
    )
    if NOBODY is not None:
        os.chown(folder, NOBODY, NOBODY)
    process = subprocess.Popen(
        [program("pgbouncer"), "-q", str(folder / "ini")],
        stderr=subprocess.DEVNULL,
        user=NOBODY,
        group=NOBODY,
    )
    try:
        _wait_for_port(port)
        yield f"postgresql://tests@127.0.0.1:{port}/postgres"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            return
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.01)


class RedisServer:
    """Keeps nothing on the disk."""

    def __init__(self) -> None:
        self._program = program("redis-server")
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--appendonly", "no", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert time.monotonic() < until, "Redis did not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            return self._command(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def _command(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(100)

    def flush(self) -> None:
        """Forget everything."""
        assert self._command(b"FLUSHALL").startswith(b"+OK")

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class NatsServer:
    """With JetStream, which keeps its streams over a restart."""

    def __init__(self) -> None:
        self._program = program("nats-server")
        self._folder = Path(tempfile.mkdtemp(prefix="nats-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [self._program, "-a", "127.0.0.1", "-p", str(self.port)]
        command += ["--jetstream", "--store_dir", str(self._folder)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_for_port(self.port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Servers:
    """Those of a test session, each started when it is first asked for."""

    def __init__(self) -> None:
        self._postgres: PostgresServer | None = None
        self._redis: RedisServer | None = None
        self._nats: NatsServer | None = None

    @property
    def nats(self) -> NatsServer:
        if self._nats is None:
            self._nats = NatsServer()
        return self._nats

    @property
    def postgres(self) -> PostgresServer:
        if self._postgres is None:
            self._postgres = PostgresServer()
        return self._postgres

    @property
    def redis(self) -> RedisServer:
        if self._redis is None:
            self._redis = RedisServer()
        return self._redis

    def close(self) -> None:
        for server in (self._postgres, self._redis, self._nats):
            if server is not None:
                server.close()


SERVERS = Servers()
"""Of this process of the test run; `conftest` closes them."""
