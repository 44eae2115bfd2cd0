"""The service against real model servers: llama-cpp-python's, and LiteLLM's proxy in front of it.

`python tests/model_servers/server_run.py` (or `make test-model-servers`) installs them, starts them, runs
`dungeon-master doctor` and some turns against each, and prints how these ended. The exit code is 1
where a turn ended neither complete nor with an error of the service.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from server_processes import KEY, LITELLM, litellm
from server_turns import Tally, play
from tools.local_model import NAME, WINDOW, llama, serving_model, weights
from tools.ports import free_port

from processes import environment_of

SERVERS = ("llama-cpp-python", "litellm")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    options = _options()
    python, port = llama().install(), free_port()
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, size = folder / "llama.log", ("--n_ctx", str(WINDOW))
        threads = ("--n_threads", str(options.threads))
        with serving_model(python, weights(python), port, log, *size, *threads):
            url = f"http://127.0.0.1:{port}/v1"
            if "llama-cpp-python" in options.only:
                tallies["llama-cpp-python"] = _examine(folder / "llama", url, options)
            if "litellm" in options.only:
                with litellm(LITELLM.install(), folder, url) as proxy:
                    tallies["litellm"] = _examine(folder / "litellm", proxy, options)
    print()
    for server, tally in tallies.items():
        print(f"{server}: {tally}")
        for ending in tally.unclean:
            print(f"  unclean: {ending}")
    return int(any(tally.unclean for tally in tallies.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=SERVERS, nargs="+", default=SERVERS)
    parser.add_argument("--no-doctor", action="store_true")
    return parser.parse_args()


def _examine(folder: Path, url: str, options: argparse.Namespace) -> Tally:
    folder.mkdir()
    environment = {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": KEY,
        "OPENAI_MODEL": NAME,
        "OPENAI_TIMEOUT": "600",
        "LLM_IDLE_TIMEOUT": "600",
        "LLM_PHASE_SECONDS": "1800",
        "MAX_CONCURRENT_LLM_CALLS": "1",
        "LLM_CONTEXT_TOKENS": str(WINDOW),
    }
    if not options.no_doctor:
        command = [sys.executable, "-m", "app.cli", "doctor"]
        several = {**environment, "MAX_CONCURRENT_LLM_CALLS": "2"}
        subprocess.run(command, cwd=folder, env=environment_of(several), check=False)
    print(f"{options.turns} turns at {url}", flush=True)
    return play(folder, environment, options.turns)


if __name__ == "__main__":
    sys.exit(main())
