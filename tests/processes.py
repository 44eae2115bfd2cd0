"""The real command in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from leaks import leaks

ROOT = Path(__file__).parent.parent
TIMEOUT = 45.0
RUNNING = re.compile(r"Uvicorn running on http://[0-9.]+:(\d+)")
_KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")


class Process:
    """`dungeon-master ARGUMENTS` in `directory`, with these environment variables only."""

    reads_until: re.Pattern[str] | None = None

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._silent = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=directory,
            env=environment_of(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="process log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            last = self.reads_until is not None and self.reads_until.search(line)
            if last:
                self._process.stdout.close()
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
        self._process.send_signal(number)

    def exit_code(self) -> int:
        """Waits for its end; the log is then complete."""
        code = self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def stop(self) -> int:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.exit_code()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.exit_code()


class UnreadProcess(Process):
    """Its output is read until it listens, and then closed, as `head` would."""

    reads_until = RUNNING


@contextmanager
def running(directory: Path, **environment: str) -> Iterator[Process]:
    """A server on a port of its choosing; whatever happens it does not outlive the block."""
    process = Process(
        directory, "serve", **{"PORT": "0", "MAX_LOOP_LAG_SECONDS": "60", **environment}
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
