"""Files that only their owner may read, whatever the umask, from the first byte.

SQLite gives its log and its shared memory the mode of the database file, as long as that file is there
before the first connection is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


def private_folder(path: Path) -> None:
    """Make the folder and those above it that are missing; one that exists keeps its mode.

    Raises `OSError`.
    """
    if path.is_dir():
        return
    private_folder(path.parent)
    path.mkdir(FOLDER_MODE, exist_ok=True)
    path.chmod(FOLDER_MODE)


def private_file(path: Path) -> None:
    """Make an empty file, or tighten the mode of the one that is there. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
    finally:
        os.close(descriptor)


def private_database(path: Path) -> None:
    """The same for a database with its folder and the files that SQLite puts beside it."""
    private_folder(path.parent)
    private_file(path)
    for ending in _COMPANIONS:
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.chmod(FILE_MODE)
