"""The JavaScript client that the service serves, in Node where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any, get_args, get_type_hints

import app
import pytest
from app.core.wire import AnyTurnEvent

from fakes.model import FakeModel, Script
from serving import TIMEOUT, Served

SCRIPT = Path(__file__).parent.parent / "clients" / "dm_client.mjs"
NODE = shutil.which("node")
TYPES = Path(app.__file__).parent / "web" / "static" / "dm-client.d.ts"
NOT_READ = ("ping", "pong")


@pytest.mark.parametrize("event", get_args(AnyTurnEvent), ids=lambda event: event.__name__)
def test_every_event_has_a_type(event: Any) -> None:
    fields = get_type_hints(event)
    (kind,) = get_args(fields["type"])
    declared = re.search(rf'\{{\n  type: "{kind}";\n(.*?)\n\}}', TYPES.read_text(), re.DOTALL)
    assert (declared is None) is (kind in NOT_READ)
    if declared is None or kind in ("metadata", "complete"):
        return
    named = set(re.findall(r"^  (\w+)\??:", declared[1], re.MULTILINE))
    assert named == fields.keys() - {"type", "timestamp", "truncated"}


def served(store: Path, **settings: Any) -> Served:
    return Served(
        store_url=f"sqlite:///{store}",
        max_turns_per_character_per_second=100,
        max_streams_per_client=1000,
        **settings,
    )


@pytest.mark.skipif(NODE is None, reason="needs Node 20 or newer")
def test_the_client_reads_goes_on_and_cancels(tmp_path: Path, model: FakeModel) -> None:
    assert NODE is not None
    offline: dict[str, Any] = {"openai_stub_mode": True, "storyteller_tokens_per_second": 400}
    model.then(Script(), Script(gate=threading.Event(), gate_after=8))  # an opening, and a turn
    with (
        served(tmp_path / "fast.db", **offline) as service,
        served(tmp_path / "slow.db", openai_base_url=model.base_url) as slow,
    ):
        found = subprocess.run(
            [NODE, str(SCRIPT)],
            env={**os.environ, "BASE": service.url, "SLOW": slow.url, "CUTS": "3"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    assert found.returncode == 0, found.stdout + found.stderr
