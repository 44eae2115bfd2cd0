"""Processes of the bench: each on its core, with a log of its own, ended with its block."""

from __future__ import annotations

import gc
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

ROOT = Path(__file__).parent.parent
START_SECONDS = 120
STOP_SECONDS = 10
SERVER_CORE, CLIENT_CORE = 0, 1
_RUNNING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
_TAIL = 4_000
_PAGE = resource.getpagesize()
_CORES: Final = sorted(os.sched_getaffinity(0))


class Failed(Exception):
    """A server did not do what was asked of it; the first line of the message says what."""


def pin(pid: int, core: int) -> None:
    """Servers have a core of their own, where there are two."""
    if len(_CORES) > 1:
        os.sched_setaffinity(pid, {_CORES[core]})


def many_files() -> None:
    """A stream is a file, and the soft limit is often far below what the system allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def begin(longest: int) -> None:
    """Of the process that measures: SIGTERM, and an alarm after so many seconds, end it as Ctrl-C does, so
    that nothing which it has started is left behind."""
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.alarm(longest)
    many_files()
    pin(0, CLIENT_CORE)
    gc.freeze()


@dataclass(frozen=True)
class Process:
    """A server that listens on `port` of loopback."""

    name: str
    pid: int
    port: int
    log: Path

    def cpu(self) -> float:
        """Seconds, all threads."""
        return time.clock_gettime((~self.pid << 3) | 2)  # its CPU clock, as the kernel numbers them

    def main_cpu(self) -> float:
        """Seconds, the main thread alone."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def rss(self) -> int:
        """Bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    def last_words(self) -> str:
        """The first errors in its log and the end of it."""
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line[:_TAIL] for line in lines if '"level": "error"' in line][:2]
        return "\n".join([*errors, tail(self.log)])


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL:]


@contextmanager
def process(
    name: str,
    command: Sequence[str],
    *,
    core: int,
    parent: Path,
    root: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """A process in a directory of its own below `parent`, from its line "running on …" to the end of
    the block. `root`: the tree that it imports from. Raises `Failed` when it does not start."""
    directory = Path(mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=parent))
    log = directory / f"{directory.name}.log"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    given = {**kept, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1", **(environment or {})}
    with log.open("w") as out:
        started = subprocess.Popen(command, cwd=directory, env=given, stdout=out, stderr=out)
    try:
        pin(started.pid, core)
        yield Process(name, started.pid, _port(started, log), log)
    finally:
        started.terminate()
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _port(started: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and started.poll() is None:
        if found := _RUNNING.search(log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.02)
    raise Failed(f"{log.stem} did not start:\n{tail(log)}")
