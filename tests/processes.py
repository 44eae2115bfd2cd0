"""The real command in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

import pytest
from app.cli.main import main

from leaks import leaks

ROOT = Path(__file__).parent.parent
TIMEOUT = 300.0  # far more than anything takes; only a test that fails waits so long
RUNNING = re.compile(r"Uvicorn running on http://[0-9.]+:(\d+)")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")

# Reading the modules of the service takes longer than most commands do, and so does its first turn: a
# process has done both once and each command is forked from it.
CONTEXT = multiprocessing.get_context("forkserver")
# `httpx` reads `httpcore` when its first client is made.
CONTEXT.set_forkserver_preload(["app.cli.main", "uvloop", "pytest", "httpcore", "warm"])
_SERVER = forkserver._forkserver


@cache
def run_the_server() -> None:
    """Start the process that others are forked from; it ends with those that know of it."""
    with pytest.MonkeyPatch.context() as patch:
        # Python 3.11 does not pass it the path of its modules.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        _SERVER.ensure_running()
    # In a fork of this process it would miss its child.
    setattr(_SERVER, "ensure_running", lambda: None)  # noqa: B010


def forked(target: Callable[..., object], *args: Any) -> ForkServerProcess:
    """A process that has started; it ends with this one."""
    run_the_server()
    process = CONTEXT.Process(target=target, args=args, daemon=True)
    process.start()
    return process


class Started(Protocol):
    """What both kinds of process have in common; the words are those of `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class Forked:
    """`dungeon-master ARGUMENTS` in a process that has the modules of the service already; `output` and
    `errors` are file descriptors. `run`: what is done with the arguments instead."""

    def __init__(
        self,
        directory: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: int,
        errors: int,
        run: Callable[[list[str]], int | None] = main,
    ) -> None:
        with Connection(os.dup(output)) as out, Connection(os.dup(errors)) as err:
            self._process = forked(
                _command, run, directory, list(arguments), dict(environment), out, err
            )
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"it did not end within {timeout} s"
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _command(
    run: Callable[[list[str]], int | None],
    directory: Path,
    arguments: list[str],
    environment: dict[str, str],
    output: Connection,
    errors: Connection,
) -> None:
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in ((1, output), (2, errors)):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.exit(run(arguments))


def interpreter(arguments: list[str]) -> None:
    """What `python ARGUMENTS` does."""
    sys.path.insert(0, os.getcwd())
    match arguments:
        case ["-c", code]:
            sys.argv = ["-c"]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [file, *_]:
            sys.argv = list(arguments)
            runpy.run_path(file, run_name="__main__")


def at_a_terminal(arguments: list[str]) -> int:
    """`dungeon-master ARGUMENTS`, which reads from the terminal that it writes to."""
    os.setsid()
    os.dup2(1, 0)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    return main(arguments)


def python(
    *arguments: str, directory: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS`, run to its end; it does not read the modules of the service again, which takes
    longer than most scripts do."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        given = {**os.environ, **environment}
        files = (output.fileno(), errors.fileno())
        code = Forked(directory, arguments, given, *files, interpreter).wait(3 * TIMEOUT)
        said = [os.pread(file, 1 << 24, 0).decode() for file in files]
    return subprocess.CompletedProcess(arguments, code, *said)


class Process:
    """`dungeon-master ARGUMENTS` in `directory`, with these environment variables only."""

    reads_until: re.Pattern[str] | None = None

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._silent = False
        reader, writer = os.pipe()
        self._output = os.fdopen(reader, encoding="utf-8")
        self._process = self.start(directory, arguments, environment_of(environment), writer)
        os.close(writer)
        self._reader = threading.Thread(target=self._read, name="process log", daemon=True)
        self._reader.start()

    def start(
        self,
        directory: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: int,
    ) -> Started:
        return Forked(directory, arguments, environment, output, output)

    def _read(self) -> None:
        for line in self._output:
            last = self.reads_until is not None and self.reads_until.search(line)
            if last:
                self._output.close()
            with self._changed:
                self.log.append(line.rstrip("\n"))
                self._changed.notify_all()
            if last:
                break
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.log)

    def port(self) -> int:
        """Waits until it listens."""
        found = self.logged(RUNNING)
        return int(found.group(1))

    def logged(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Waits for it in the log, or for the end of the process."""
        with self._changed:
            self._changed.wait_for(lambda: pattern.search(self.text) or self._silent, TIMEOUT)
        found = pattern.search(self.text)
        assert found is not None, self.text
        return found

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.kill(self.pid, number)

    def exit_code(self) -> int:
        """Waits for its end; the log is then complete."""
        code = self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        self._output.close()
        return code

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.exit_code()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.exit_code()


class UnreadProcess(Process):
    """Its output is read until it listens, and then closed, as `head` would."""

    reads_until = RUNNING


class FreshProcess(Process):
    """With an interpreter of its own, as a shell would start it."""

    def start(
        self,
        directory: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: int,
    ) -> Started:
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def running(directory: Path, **environment: str) -> Iterator[Process]:
    """A server on a port of its choosing; whatever happens it does not outlive the block."""
    process = Process(
        directory,
        "serve",
        **{"PORT": "0", "LLM_PROBE": "off", "MAX_LOOP_LAG_SECONDS": "60", **environment},
    )
    try:
        yield process
    finally:
        process.kill()
    assert leaks(process.text) == []


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    """Of a process: what it needs to run at all, and what is given."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **given}
