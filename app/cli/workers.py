"""Several worker processes on one port, and the process that looks after them.

The parent opens the listening sockets and serves nothing itself. A signal that it gets goes to every
worker; a worker that dies is started again, one that cannot start ends them all.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from app.telemetry.workers import WorkerPlace

log = structlog.get_logger(__name__)

SHORT_LIFE: Final = 5.0  # seconds; who lives no longer is started again after a pause
PAUSE: Final = 1.0
CANNOT_START: Final = 2
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Serve = Callable[[WorkerPlace, int], int]
"""Serves as a worker and gives its exit code; the number is a file descriptor that ends with the parent."""


class Workers:
    """`serve` is called in each of `count` processes."""

    def __init__(self, count: int, serve: Serve) -> None:
        self._count = count
        self._serve = serve
        self._running: dict[int, tuple[int, float]] = {}  # by process: worker and when it began
        self._folder = Path(tempfile.mkdtemp(prefix="dungeon-master-"))
        self._alive_read, self._alive_write = os.pipe()
        self._stopping = False

    def run(self) -> int:
        """Returns the exit code when all workers have ended."""
        for number in _SIGNALS:
            signal.signal(number, self._signalled)
        try:
            for worker in range(self._count):
                self._start(worker)
            return self._look_after()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, worker: int) -> None:
        process = os.fork()
        if process == 0:
            os._exit(self._as_worker(worker))
        self._running[process] = (worker, time.monotonic())

    def _as_worker(self, worker: int) -> int:
        os.setpgrp()  # Ctrl-C reaches the parent only, which passes it on
        os.close(self._alive_write)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        return self._serve(WorkerPlace(worker, self._folder), self._alive_read)

    def _look_after(self) -> int:
        code = 0
        while self._running:
            process, status = os.wait()
            worker, began = self._running.pop(process)
            ended = os.waitstatus_to_exitcode(status)
            if self._stopping:
                code = code or max(ended, 0)
                continue
            log.error("worker_ended", worker=worker, exit_code=ended)
            if ended == CANNOT_START:
                code = CANNOT_START
                self._signalled(signal.SIGTERM, None)
                continue
            if time.monotonic() - began < SHORT_LIFE:
                time.sleep(PAUSE)
            if not self._stopping:
                self._start(worker)
        return code

    def _signalled(self, number: int, _: FrameType | None) -> None:
        self._stopping = True
        for process in list(self._running):
            os.kill(process, number)
