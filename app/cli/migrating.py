"""Commands that move an installation."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.bootstrap import move_to_postgres
from app.cli.output import waiting
from app.settings import SharedSettings


def sqlite_to_postgres(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Move the journal and print what was moved. Raises `BadSetting`."""
    with waiting("moving the journal"):
        moved = move_to_postgres(Path(options.file), settings)
    for table in moved:
        print(f"{table.table:16} {table.rows:>9} rows  {table.digest}")
    print("every table has the same rows in PostgreSQL; the file was not changed")
    return 0
