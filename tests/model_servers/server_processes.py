"""Model servers as processes, each with a log of its own."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from server_packages import Installed, weights
from tools.ports import free_port

MODEL = "smollm2"
KEY = f"sk-{secrets.token_hex(16)}"  # LiteLLM does not start without one
PATIENCE = 180.0


@contextmanager
def llama(installed: Installed, folder: Path, threads: int) -> Iterator[str]:
    """llama-cpp-python's server as it is by default: one answer at a time."""
    port = free_port()
    command = [str(installed.python), "-m", "llama_cpp.server", "--model", str(weights(installed))]
    options = {"model_alias": MODEL, "n_ctx": 8192, "n_threads": threads}
    options |= {"host": "127.0.0.1", "port": port}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    with _listening([*command, *arguments], port, folder / "llama.log", {}) as url:
        yield url


@contextmanager
def litellm(installed: Installed, folder: Path, upstream: str) -> Iterator[str]:
    """LiteLLM's proxy in front of another server."""
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: {MODEL}\n    litellm_params:\n"
        f"      model: openai/{MODEL}\n      api_base: {upstream}\n      api_key: none\n"
        "litellm_settings:\n  telemetry: false\n  request_timeout: 600\n"
    )
    command = [str(installed.program("litellm")), "--config", str(config), "--host", "127.0.0.1"]
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    command += ["--port", str(port), "--telemetry", "False"]
    with _listening(command, port, folder / "litellm.log", local) as url:
        yield url


@contextmanager
def _listening(
    command: Sequence[str], port: int, log: Path, environment: Mapping[str, str]
) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}/v1"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        try:
            _wait(process, f"{url}/models", log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            answer = httpx.get(url, headers={"Authorization": f"Bearer {KEY}"}, timeout=5)
            if answer.status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
