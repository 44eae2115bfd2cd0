"""Packages in virtual environments of their own, installed once into the user's cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """`packages`: with exact versions; `alone`: installed without what they depend on."""

    name: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """It need not be there."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / f"dungeon-master-{self.name}"

    @property
    def is_installed(self) -> bool:
        """Whether the environment has exactly what is wanted."""
        stamp = self._stamp
        return stamp.exists() and stamp.read_text("utf-8") == self._wanted

    def install(self) -> Path:
        """The environment's interpreter. What is there is used again; else pip shows its progress. Building
        llama.cpp takes minutes: PIP_FIND_LINKS may name a folder with a wheel, and
        CMAKE_BUILD_PARALLEL_LEVEL bounds the cores."""
        python = self.folder / "bin" / "python"
        if self.is_installed:
            return python
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(self.folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
        subprocess.run([*pip, "--prefer-binary", *self.packages], check=True)
        if self.alone:
            subprocess.run([*pip, "--no-deps", *self.alone], check=True)
        self._stamp.write_text(self._wanted, "utf-8")
        return python

    @property
    def _stamp(self) -> Path:
        return self.folder / ".installed"

    @property
    def _wanted(self) -> str:
        return "\n".join((*self.packages, *self.alone))
