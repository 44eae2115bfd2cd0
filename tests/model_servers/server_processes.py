"""LiteLLM's proxy as a process, in front of another model server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tools.environments import Environment
from tools.local_model import NAME, process, wait_for
from tools.ports import free_port

LITELLM: Final = Environment("litellm", ("litellm[proxy]==1.108.7",))
KEY: Final = f"sk-{secrets.token_hex(16)}"  # LiteLLM does not start without one


@contextmanager
def litellm(python: Path, folder: Path, upstream: str) -> Iterator[str]:
    """Its address."""
    port, config, log = free_port(), folder / "litellm.yaml", folder / "litellm.log"
    config.write_text(
        f"model_list:\n  - model_name: {NAME}\n    litellm_params:\n"
        f"      model: openai/{NAME}\n      api_base: {upstream}\n      api_key: none\n"
        "litellm_settings:\n  telemetry: false\n  request_timeout: 600\n"
    )
    command = [str(python.with_name("litellm")), "--config", str(config), "--host", "127.0.0.1"]
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    with process([*command, "--port", str(port), "--telemetry", "False"], local, log) as started:
        wait_for(started, port, "/health/liveliness", log)
        yield f"http://127.0.0.1:{port}/v1"
