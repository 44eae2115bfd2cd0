"""One process at a time has a database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from app.private_files import private_file


class StoreInUse(Exception):
    """Another server holds the database."""


def lock_beside(path: Path) -> int:
    """Lock a file beside the database; the file descriptor that holds it. Raises `StoreInUse`."""
    lock = path.with_name(path.name + ".lock")
    private_file(lock)
    descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreInUse(f"another server is using {path}") from None
    return descriptor
