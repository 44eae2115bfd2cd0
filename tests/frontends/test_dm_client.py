"""The JavaScript client that the service serves, in Node where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from serving import Served

SCRIPT = Path(__file__).parent.parent / "clients" / "dm_client.mjs"
NODE = shutil.which("node")


def served(store: Path, tokens_per_second: int) -> Served:
    return Served(
        store_url=f"sqlite:///{store}",
        openai_stub_mode=True,
        storyteller_tokens_per_second=tokens_per_second,
        max_turns_per_character_per_second=100,
        max_streams_per_client=1000,
    )


@pytest.mark.skipif(NODE is None, reason="needs Node 20 or newer")
def test_the_client_reads_goes_on_and_cancels(tmp_path: Path) -> None:
    assert NODE is not None
    with served(tmp_path / "fast.db", 400) as service, served(tmp_path / "slow.db", 50) as slow:
        found = subprocess.run(
            [NODE, str(SCRIPT)],
            env={**os.environ, "BASE": service.url, "SLOW": slow.url, "CUTS": "3"},
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert found.returncode == 0, found.stdout + found.stderr
