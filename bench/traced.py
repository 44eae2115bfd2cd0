"""The service under cProfile: SIGUSR1 begins, SIGUSR2 writes what was seen.

    python -m bench.traced FILE [serve]

Each thread has a profile of its own, which Python before 3.12 allows. Written to FILE: a list of
statistics as `pstats` knows them, the main thread's first.
"""

from __future__ import annotations

import cProfile
import marshal
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from app.cli.main import main

_MANY = sys.version_info < (3, 12)


class Tracer:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._on = False
        self._profiles = [cProfile.Profile()]
        self._lock = threading.Lock()

    def begin(self, *_: object) -> None:
        self._on = True
        self._profiles[0].enable()

    def thread(self, frame: FrameType, event: str, argument: Any) -> None:
        """Called for every event of a thread until its own profile takes over."""
        if self._on:
            profile = cProfile.Profile()
            with self._lock:
                self._profiles.append(profile)
            profile.enable()

    def write(self, *_: object) -> None:
        self._profiles[0].disable()
        for profile in self._profiles:
            profile.snapshot_stats()
        seen = [profile.stats for profile in self._profiles]
        part = self._file.with_suffix(".part")
        part.write_bytes(marshal.dumps(seen))
        part.rename(self._file)


if __name__ == "__main__":
    tracer = Tracer(Path(sys.argv[1]))
    signal.signal(signal.SIGUSR1, tracer.begin)
    signal.signal(signal.SIGUSR2, tracer.write)
    if _MANY:
        threading.setprofile(tracer.thread)
    sys.exit(main(sys.argv[2:]))
