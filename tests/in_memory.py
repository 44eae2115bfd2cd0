"""Temporary files of tests in memory.

A start of the service waits for the disk a dozen times, and each turn several times more: on a disk, tests
wait for it for longer than they run.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
ENOUGH: Final = 4 << 30  # bytes; a run needs some hundreds of megabytes at a time


def keep_files_in_memory() -> None:
    """For this process and those that it starts, unless `TMPDIR` names another place, the machine has no
    such place or too little of it, or does not run programs from it: containers are often so."""
    if "TMPDIR" in os.environ or not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        return
    place = os.statvfs(MEMORY)
    if place.f_bavail * place.f_frsize >= ENOUGH and not place.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # it is looked up again
