"""`make test-clients`: installs the published clients at the pinned versions and lets them play.

Needs Node 20 or newer with npm, and the network. `--cuts N`: at how many places streams are cut;
`--only WORD`: scripts whose command has the word.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent.parent / "samples" / "web"
START_SECONDS = 30
SCRIPTS = [
    ("dm_client.mjs",),
    ("schemas.mjs",),
    ("samples.mjs",),
    ("ag_ui.mjs", "ag-ui-client-1"),
    ("ag_ui.mjs", "ag-ui-client-0"),
    ("ai_sdk.mjs", "ai-7", "ai-react-4"),
    ("ai_sdk.mjs", "ai-6", "ai-react-3"),
    ("ai_sdk.mjs", "ai-5", "ai-react-2"),
    ("openai.mjs", "openai-7"),
    ("openai.mjs", "openai-6"),
]


def install(folder: Path) -> None:
    """What the lock names, without running anything of it."""
    for file in [*HERE.glob("*.mjs"), *SAMPLES.glob("*.mjs"), *HERE.glob("package*.json")]:
        shutil.copy(file, folder)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(["npm", "ci", *quiet], cwd=folder, check=True)


@contextmanager
def service(folder: Path, number: int, tokens_per_second: int) -> Iterator[str]:
    """The service with the offline storyteller, on a port of its own."""
    port = 18_000 + os.getpid() % 10_000 + number
    settings = {
        "PORT": str(port),
        "STORE_URL": f"sqlite:///{folder}/store-{number}.db",
        "STORYTELLER_TOKENS_PER_SECOND": str(tokens_per_second),
        "MAX_TURNS_PER_CHARACTER_PER_SECOND": "100",
        "MAX_STREAMS_PER_CLIENT": "1000",
    }
    command = [str(Path(sys.executable).parent / "dungeon-master"), "serve"]
    with (folder / f"service-{number}.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **settings}, stdout=log, stderr=log
        )
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for(base)
            yield base
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def wait_for(base: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{base}/live", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the service did not start")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    chosen = [script for script in SCRIPTS if options.only in " ".join(script)]
    with tempfile.TemporaryDirectory(prefix="clients-") as name:
        folder = Path(name)
        install(folder)
        streams = folder / "streams.jsonl"
        with streams.open("w") as made:
            subprocess.run([sys.executable, HERE / "streams.py"], stdout=made, check=True)
        with service(folder, 0, 400) as base, service(folder, 1, 50) as slow:
            known = {"BASE": base, "SLOW": slow, "CUTS": str(options.cuts), "STREAMS": str(streams)}
            codes = [
                subprocess.run(
                    ["node", *script], cwd=folder, env={**os.environ, **known}
                ).returncode
                for script in chosen
            ]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
