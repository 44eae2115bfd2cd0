"""PostgreSQL and Redis from what is installed, each in a folder of its own, on loopback only."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.ports import free_port

START_SECONDS: Final = 300.0
# Debian keeps servers where only root's PATH looks.
_PLACES: Final = os.pathsep.join(
    (os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin")
)
NOBODY: Final = 65534 if os.getuid() == 0 else None
"""Whom PostgreSQL runs as: it refuses to run as root."""


class NotInstalled(Exception):
    """The name of a program that is not on this machine."""


def program(*names: str) -> str:
    """The path of the first that is there. Raises `NotInstalled`."""
    found = next(filter(None, (shutil.which(name, path=_PLACES) for name in names)), None)
    if found is None:
        raise NotInstalled(names[0])
    return found


def wait_for_port(port: int, check: Callable[[], None] = lambda: None) -> None:
    """Until something listens on it. Raises `TimeoutError`, or what `check` raises."""
    until = time.monotonic() + START_SECONDS
    while True:
        check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise TimeoutError(f"nothing listens on port {port}") from None
            time.sleep(0.01)


def _postgres_bin() -> Path:
    """Where `initdb`, `pg_ctl` and `psql` are together: Debian has them outside PATH."""
    kept = Path("/usr/lib/postgresql")
    versions = sorted(kept.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else Path(program("initdb")).parent


class PostgresServer:
    """`safe`: it waits for the disk at each commit. Whoever connects is trusted."""

    user = "tests"

    def __init__(self, *, safe: bool = False, **settings: str) -> None:
        self._bin = _postgres_bin()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self.port = free_port()
        if NOBODY is not None:
            os.chown(self._folder, NOBODY, NOBODY)
        self._run("initdb", "-U", self.user, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
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

    def _run(self, command: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / command), "-D", str(self._data), *arguments],
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
            user=NOBODY,
            group=NOBODY,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr + self.log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """Of the process whose children are all others of the server."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-t", "30", "-l", str(self._log))

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def psql(self, sql: str) -> str:
        command = [str(self._bin / "psql"), "-X", "-A", "-t", "-q", "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-U", self.user, "-d", "postgres", "-c", sql]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=START_SECONDS
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def close(self) -> None:
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


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
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < until, "Redis did not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            return self.command(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def command(self, command: bytes) -> bytes:
        """The answer to an inline one."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(10_000)

    @property
    def used_memory(self) -> int:
        """Bytes of what it keeps."""
        found = re.search(rb"used_memory:(\d+)", self.command(b"INFO memory"))
        return int(found[1]) if found else 0

    def flush(self) -> None:
        """Forget everything."""
        assert self.command(b"FLUSHALL").startswith(b"+OK")

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
