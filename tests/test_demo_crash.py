"""The demonstration shows what it says, whoever runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import pytest
from tools import demo_crash

from processes import Forked


def test_demo_shows_a_stream_that_goes_on_and_writes_that_are_stored_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serving(folder: Path, settings: dict[str, str], log: TextIO) -> Forked:
        return Forked(folder, ["serve"], settings, log.fileno(), log.fileno())

    monkeypatch.setattr(demo_crash, "serving", serving)
    # At this pace the story has seconds to go when its server is killed.
    monkeypatch.setenv("STORYTELLER_TOKENS_PER_SECOND", "20")
    code, shown = demo_crash.main(), capsys.readouterr().out
    assert code == 0, shown
    dies_writing, dies_generating = shown.split("2. It dies in mid-story.")
    before, _, after = dies_writing.partition("*** kill -9 ***")
    assert "receipt" not in before
    assert "receipt: narrative create" in after
    assert "  POST narrative: 1 time\n" in after
    assert "the stream's last event: complete" in dies_writing
    assert "the stream's last event: error, interrupted" in dies_generating
    assert "written to journey-log: nothing" in dies_generating
    assert "journey-log has 3 turns" in dies_generating
