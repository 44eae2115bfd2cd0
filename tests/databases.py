"""PostgreSQL, Redis and NATS for tests, started from what is installed, each in a folder of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.adapters.store.postgres.connecting import STARTUP_PARAMETERS, Database
from app.adapters.store.postgres.preparing import at_the_start
from tools import engines
from tools.engines import NOBODY, wait_for_port
from tools.ports import free_port

from installed import program, required
from waiting import eventually

_NUMBERS = itertools.count(1)


_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
            WHERE schemaname = current_schema() AND tablename <> 'schema_version' LOOP
        EXECUTE 'DELETE FROM ' || name;
    END LOOP;
END $$"""


class PostgresServer(engines.PostgresServer):
    def __init__(self, *, safe: bool = False, **settings: str) -> None:
        with required():
            super().__init__(safe=safe, **settings)
        self._made = False

    def url(self, schema: str | None = None) -> str:
        """Of a schema of its own, by default one that nobody has used."""
        name = schema or f"s{os.getpid()}_{next(_NUMBERS)}"
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres?search_path={name}"

    def emptied(self) -> str:
        """The URL of a schema whose tables hold nothing: making one takes a fifth of a second."""
        url = self.url("emptied")
        database = Database(url)
        if not self._made:
            at_the_start(database)
            self._made = True
        at_the_start(database, _EMPTY)
        return url

    def is_ready(self) -> bool:
        """Not before a recovery has ended."""
        try:
            return self.psql("SELECT 1") == "1"
        except RuntimeError:
            return False

    def when_ready(self, sql: str) -> str:
        """The answer of `psql`, after a recovery that is under way: it refuses connections meanwhile."""
        answers: list[str] = []

        def answered() -> bool:
            with suppress(RuntimeError):
                answers.append(self.psql(sql))
            return bool(answers)

        eventually(answered)
        return answers[0]

    def kill_backend(self, application: str = "dungeon-master journal") -> None:
        """The server then ends all sessions and recovers, as after a crash."""
        sql = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{application}' LIMIT 1"
        eventually(lambda: _killed(self.when_ready(sql)))


def _killed(pid: str) -> bool:
    """False where there is none, as before a client has connected again."""
    with suppress(ValueError, ProcessLookupError):
        os.kill(int(pid), signal.SIGKILL)
        return True
    return False


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
        wait_for_port(port)
        yield f"postgresql://tests@127.0.0.1:{port}/postgres"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class RedisServer(engines.RedisServer):
    def __init__(self) -> None:
        with required():
            super().__init__()


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
        wait_for_port(self.port)

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
