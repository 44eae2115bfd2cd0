"""Whatever the service puts on the disk is for its owner only, whatever the umask."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from serving import Served


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


@pytest.mark.usefixtures("umask")
def test_every_file_and_folder_is_private_while_the_service_runs(
    tmp_path: Path, model: FakeModel
) -> None:
    store = tmp_path / "made" / "deeper" / "store.db"
    served = Served(store_url=f"sqlite:///{store}", openai_base_url=model.base_url)
    try:
        made = served.call(
            "POST", "/characters", {"name": "A", "race": "Elf", "class_name": "Bard"}
        )
        assert made.status == 201
        found = modes(tmp_path)
    finally:
        served.close()
    files = {name for name, mode in found.items() if mode == 0o600}
    assert {name for name, mode in found.items() if mode == 0o700} == {"made", "made/deeper"}
    assert files == found.keys() - {"made", "made/deeper"}
    names = {Path(name).name for name in files}
    assert {"store.db", "store.db-wal", "store.db-shm", "store.db.lock"} <= names
    assert {"journey-log.db", "journey-log.db-wal"} <= names


@pytest.mark.usefixtures("umask")
def test_files_that_anybody_could_read_are_tightened(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    store = tmp_path / "store.db"
    db = sqlite3.connect(store)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE other (x)")
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    served = Served(
        store_url=f"sqlite:///{store}",
        openai_base_url=model.base_url,
        journey_log_base_url=journey_log.url,
    )
    try:
        assert set(modes(tmp_path).values()) == {0o600}
    finally:
        served.close()
        db.close()
