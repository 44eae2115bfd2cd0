"""Between the claim of a character and the disk's word that it has it: the turn gets ready, and
nothing of it can be seen or costs anything."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from serving import TIMEOUT, Served, aside, refused, turn_body

UNKNOWN = "3f0c9a52-7d52-4f0e-9c39-0c4f9a1d2b11"


class SlowDisk:
    """The disk beneath a service's store: a commit waits for `turn`, and fails once it is `broken`."""

    def __init__(self, service: Served) -> None:
        engine: Any = service.application.turns._store._engine  # type: ignore[attr-defined]
        self._really = engine._commit
        self.reached = threading.Event()
        self.turn = threading.Event()
        self.broken = False
        engine._commit = self._commit

    def _commit(self) -> None:
        self.reached.set()
        assert self.turn.wait(TIMEOUT)
        if self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        self._really()


@pytest.fixture
def disk(service: Served) -> SlowDisk:
    return SlowDisk(service)


def context_read(service: Served) -> bool:
    """By a turn that has gone on as far as it may."""
    return any(turn.head.is_set() for turn in service.application.runner.running.values())


def test_a_turn_reads_its_context_while_the_disk_takes_its_claim(
    service: Served, disk: SlowDisk, model: FakeModel, character: str
) -> None:
    told = aside(service.turn, character)
    service.wait_for(lambda: context_read(service))
    assert disk.reached.is_set()
    assert model.calls == []
    assert not told.done()
    disk.turn.set()
    assert told.result(TIMEOUT).last["type"] == "complete"
    assert len(model.calls) == 1


def test_a_turn_that_the_disk_did_not_take_never_was(
    service: Served, disk: SlowDisk, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    body, key = turn_body(character), {"Idempotency_Key": "a key"}
    reply = aside(service.call, "POST", "/turn/stream", body, **key)
    service.wait_for(lambda: context_read(service))
    disk.broken = True
    disk.turn.set()
    refused(reply.result(TIMEOUT), 503, "overloaded")
    service.wait_for(lambda: not service.application.runner.running)
    assert (model.calls, journey_log.kinds()) == ([], [])
    recent = f"/admin/characters/{character}/recent_turns"
    assert service.call("GET", recent).json()["total_count"] == 0

    disk.broken = False
    again = service.stream("POST", "/turn/stream", body, **key)
    assert again.last["type"] == "complete"
    assert service.call("GET", recent).json()["total_count"] == 1


@pytest.mark.parametrize(
    ("broken", "status", "kind"),
    [(False, 404, "character_not_found"), (True, 503, "overloaded")],
    ids=["taken", "not taken"],
)
def test_a_character_that_does_not_exist_is_told_of_once_the_disk_has_spoken(
    service: Served, disk: SlowDisk, model: FakeModel, broken: bool, status: int, kind: str
) -> None:
    reply = aside(service.call, "POST", "/turn", turn_body(UNKNOWN))
    service.wait_for(lambda: any(turn.error for turn in running(service)))
    assert not reply.done()
    disk.broken = broken
    disk.turn.set()
    refused(reply.result(TIMEOUT), status, kind)
    service.wait_for(lambda: not running(service))
    assert model.calls == []


def running(service: Served) -> list[Any]:
    return list(service.application.runner.running.values())


def test_a_second_turn_of_a_character_is_refused_before_the_disk_has_the_first(
    serve: Callable[..., Served], character: str
) -> None:
    service = serve()
    disk = SlowDisk(service)
    first = aside(service.turn, character)
    service.wait_for(lambda: context_read(service))
    second = aside(service.call, "POST", "/turn", turn_body(character))
    service.wait_for(lambda: service.application.turns._store.waiting)  # type: ignore[attr-defined]
    disk.turn.set()
    assert first.result(TIMEOUT).last["type"] == "complete"
    refused(second.result(TIMEOUT), 409, "turn_in_progress")
