"""The demonstration shows what it says, whoever runs it."""

from __future__ import annotations

import os
import subprocess
import sys

from processes import ROOT


def test_demo_shows_a_stream_that_goes_on_and_writes_that_are_stored_once() -> None:
    # At this pace the story has seconds to go when its server is killed.
    environment = {**os.environ, "STORYTELLER_TOKENS_PER_SECOND": "20"}
    found = subprocess.run(
        [sys.executable, "-m", "tools.demo_crash"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    dies_writing, dies_generating = found.stdout.split("2. It dies in mid-story.")
    before, _, after = dies_writing.partition("*** kill -9 ***")
    assert "receipt" not in before
    assert "receipt: narrative create" in after
    assert "  POST narrative: 1 time\n" in after
    assert "the stream's last event: complete" in dies_writing
    assert "the stream's last event: error, interrupted" in dies_generating
    assert "written to journey-log: nothing" in dies_generating
    assert "journey-log has 3 turns" in dies_generating
