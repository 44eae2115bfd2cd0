"""Between the claim of a character and the disk's word that it has it: the turn reads its context, and
its client hears nothing, and the model is not asked."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from app.turns.executor import TurnExecutor
from app.turns.service import TurnService

from fakes.journey_log import FakeJourneyLog, hangs
from fakes.model import FakeModel
from serving import TIMEOUT, Served, aside, refused, turn_body

UNKNOWN = "3f0c9a52-7d52-4f0e-9c39-0c4f9a1d2b11"


class SlowDisk:
    """The disk beneath a service's store: a commit waits for `turn`, and fails once it is `broken`."""

    def __init__(self, service: Served) -> None:
        engine: Any = service.application.services.get(TurnService)._store._engine  # type: ignore[attr-defined]
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
def disk(service: Served) -> Iterator[SlowDisk]:
    slow = SlowDisk(service)
    yield slow
    slow.turn.set()


def running(service: Served) -> list[Any]:
    return list(service.application.services.get(TurnExecutor).running.values())


def context_read(service: Served) -> bool:
    """By a turn that has gone on as far as it may."""
    return any(turn.context for turn in running(service))


def test_a_turn_reads_its_context_while_the_disk_takes_its_claim(
    service: Served, disk: SlowDisk, model: FakeModel, character: str
) -> None:
    running = aside(service.turn, character)
    service.wait_for(lambda: context_read(service))
    assert disk.reached.wait(TIMEOUT)
    assert model.calls == []
    assert not running.done()
    disk.turn.set()
    assert running.result(TIMEOUT).last["type"] == "complete"
    assert len(model.calls) == 1


@pytest.mark.parametrize("answers", [True, False], ids=["context read", "context not read"])
def test_a_turn_that_the_disk_did_not_take_never_was(
    service: Served,
    disk: SlowDisk,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    answers: bool,
) -> None:
    if not answers:
        journey_log.fail("context", hangs())
    body, key = turn_body(character), {"Idempotency_Key": "a key"}
    reply = aside(service.call, "POST", "/turn/stream", body, **key)
    service.wait_for(lambda: context_read(service) if answers else journey_log.requests)
    disk.broken = True
    disk.turn.set()
    refused(reply.result(TIMEOUT), 503, "overloaded")
    service.wait_for(lambda: not running(service))
    assert (model.calls, journey_log.kinds()) == ([], [])
    assert service.metric("dungeon_master_policy_rolls_total") == 0
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
def test_unknown_character_is_refused_once_the_admission_is_durable(
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
