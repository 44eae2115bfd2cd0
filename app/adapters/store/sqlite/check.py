"""Whether a store can be used, found out without changing it; also beside a running server."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from app.adapters.store.sqlite.schema import MIGRATIONS

LEAST_FREE: Final = 50_000_000
"""Bytes on the disk."""


def check(path: Path) -> str:
    """The state of the store in words. Raises `OSError`, `sqlite3.Error`, `RuntimeError`."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise OSError(errno.ENOSPC, f"only {free // 1_000_000} MB are free", str(folder))
    how = _check_database(path) if path.exists() else "will be made at the first start"
    return f"{path} {how}; {free // 1_000_000} MB are free"


def _check_database(path: Path) -> str:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise RuntimeError("the database was written by a newer release of this service")
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
    return "takes writes" if version == len(MIGRATIONS) else "will be upgraded at the next start"
