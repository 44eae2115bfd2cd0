"""The service with a small language model of its own, in one command.

    make run-local

Settings are taken from the environment, as `make run` does. Ctrl-C ends both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools.local_model import (
    NAME,
    WINDOW,
    llama,
    serving_model,
    tokens_per_second,
    weights,
)
from tools.ports import free_port

BEFORE: Final = """\
SmolLM2-135M-Instruct on llama.cpp: 135 million parameters, 100 MB of weights, some 300 MB of memory.
It writes 20 to 100 tokens a second on two cores. A model of this size shows that everything works; it
does not write a good story. For that, name a larger one: see "A real model" in README.md.
"""
INSTALLING: Final = """\
Installing it (once): 100 MB of weights, and llama.cpp, whose build takes some minutes where there is no
ready wheel for this machine.
"""


def _settings(port: int) -> dict[str, str]:
    ours = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_MODEL": NAME,
        "LLM_API": "chat",
        "LLM_CONTEXT_TOKENS": str(WINDOW),
        "OPENAI_TIMEOUT": "300",
        "LLM_PHASE_SECONDS": "900",
        "CHAT_CONTEXT_TOKENS": "2000",
        "CHAT_MAX_TOKENS": "300",
    }
    return {**ours, **os.environ, "OPENAI_BASE_URL": ours["OPENAI_BASE_URL"]}


def main() -> int:
    """Exit code of the service."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    print(BEFORE, flush=True)
    environment = llama()
    if not environment.is_installed:
        print(INSTALLING, flush=True)
    python, port = environment.install(), free_port()
    with tempfile.TemporaryDirectory(prefix="local-model-") as directory:
        log = Path(directory) / "model.log"
        print(f"Loading {weights(python).name} …", flush=True)
        with serving_model(python, weights(python), port, log, "--n_ctx", str(WINDOW)):
            speed = tokens_per_second(port)
            print(f"Ready: {speed:.0f} tokens a second on this machine.\n", flush=True)
            return _serve(port)


def _serve(port: int) -> int:
    command = [str(Path(sys.executable).with_name("dungeon-master")), "serve"]
    service = subprocess.Popen(command, env=_settings(port))
    while True:
        try:
            return service.wait()
        except KeyboardInterrupt:  # the service has got it, too, and finishes what runs
            continue
        except SystemExit:
            service.terminate()
            service.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
