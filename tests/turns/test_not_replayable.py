"""A turn that cannot be replayed says which reason it has."""

from __future__ import annotations

import pytest
from app.adapters.event_log.memory import MemoryEventLog
from app.ports.store import StoredTurn
from app.turns.replay import NotReplayable, replay

from journal import CHARACTER, NOON, USER
from loops import in_loop


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("turn", "no longer kept"),
        ("opening", "no longer kept"),
        ("table", "said at its table"),
        ("chat", "message of a chat"),
    ],
)
@in_loop
async def test_the_reason_is_that_of_its_kind(kind: str, reason: str) -> None:
    stored = StoredTurn("t1", USER, CHARACTER, "complete", NOON, request={"kind": kind})
    with pytest.raises(NotReplayable, match=reason):
        await replay(stored, [], MemoryEventLog())
