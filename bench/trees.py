"""Trees of the repository that a server can run from: the present one, and those of other commits."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import ROOT

ENTRY_POINT: Final = "dungeon-master"


@dataclass(frozen=True)
class Tree:
    """`root`: the folder that the application is imported from. `bin`: its interpreter's scripts."""

    name: str
    root: Path
    bin: Path

    @property
    def serve(self) -> tuple[str, ...]:
        """The command that starts its server, whatever the layout of its modules."""
        return (str(self.bin / ENTRY_POINT), "serve")


PRESENT: Final = Tree("present", ROOT, Path(sys.executable).parent)


def built(commit: str, repository: Path = ROOT, cache: Path | None = None) -> Tree:
    """The tree of a commit with a virtual environment from its own lock file.

    It is kept in `cache` by the commit's full id. Raises `SystemExit` when it cannot be built.
    """
    identity = _run(repository, "git", "rev-parse", "--verify", f"{commit}^{{commit}}").decode()
    root = (cache or _default_cache()) / identity.strip()
    if not root.exists():
        _extract(_run(repository, "git", "archive", identity.strip()), root)
    _run(root, "make", "--silent", f"PYTHON={sys.executable}", ".venv/.runtime")
    return Tree(commit, root, root / ".venv" / "bin")


def _default_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "dungeon-master-bench"


def _extract(archive: bytes, root: Path) -> None:
    """All of it or nothing."""
    root.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{root.name}.", dir=root.parent))
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(part, filter="data")
    part.rename(root)


def _run(directory: Path, *command: str) -> bytes:
    ran = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}: {ran.stderr.decode(errors='replace').strip()}")
    return ran.stdout
