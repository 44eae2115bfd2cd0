"""The samples that need nothing from npm; `make test-clients` runs the others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.model import FakeModel, gated
from serving import Served, aside

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent.parent / "samples"
PATIENCE = 300.0  # seconds: a busy machine
GODOT, NODE = shutil.which("godot3-server"), shutil.which("node")
STREAMS = "dungeon_master_streams_started_total"


@pytest.mark.skipif(GODOT is None, reason="needs Debian's godot3-server")
def test_godot_plays_a_turn_over_a_connection_that_breaks(
    serve: Callable[..., Served], model: FakeModel, character: str, tmp_path: Path
) -> None:
    """Debian's Godot 3 runs what both have in common; the sample's node is Godot 4's."""
    assert GODOT is not None
    for file in (SAMPLES / "godot" / "dm_turn.gd", HERE / "play.gd"):
        shutil.copy(file, tmp_path)
    (tmp_path / "project.godot").write_text("config_version=4\n")
    service = serve()
    known = {
        "HOME": str(tmp_path),
        "CHARACTER": character,
        "ADDRESS": f"ws://{service.host}/turn/ws",
    }
    command = [GODOT, "--path", str(tmp_path), "-s", "play.gd"]
    with gated(model) as gate:
        playing = aside(
            subprocess.run,
            command,
            env={**os.environ, **known},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        service.wait_for(lambda: service.metric(STREAMS) == 2, PATIENCE)
        gate.set()
        played = playing.result()
    (line,) = [line for line in played.stdout.splitlines() if line.startswith("ENDED ")]
    heard = json.loads(line.removeprefix("ENDED "))
    (turn,) = service.call("GET", f"/characters/{character}/turns").json()["turns"]
    assert (heard["how"], heard["breaks"]) == ("complete", 0)
    assert (heard["turn_id"], heard["narrative"]) == (turn["turn_id"], turn["narrative"])


@pytest.mark.skipif(NODE is None, reason="needs Node 20 or newer")
@pytest.mark.parametrize(
    ("name", "most"), [("web/ag-ui.mjs", 40), ("web/use-chat.mjs", 30)], ids=["ag-ui", "use-chat"]
)
def test_a_sample_is_short_and_javascript(name: str, most: int) -> None:
    file = SAMPLES / name
    assert len(file.read_text(encoding="utf-8").splitlines()) <= most
    assert NODE is not None
    subprocess.run([NODE, "--check", str(file)], check=True, timeout=PATIENCE)
