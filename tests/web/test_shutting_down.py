"""Requests that wait for a turn while the service stops: it may end at any time later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from processes import running
from remote import At
from serving import TIMEOUT, Reply, Served, aside, refused, turn_body
from tabling import Guest, script_of, waiting


def stop(service: Served) -> None:
    """As a signal does, whatever is left."""
    assert service.loop is not None
    for drain in service.application.drains:
        drain.refuse_new()
        finished = asyncio.run_coroutine_threadsafe(drain.finish(TIMEOUT), service.loop)
        finished.result(TIMEOUT)


def asked_to_come_back(*waits: Future[Reply]) -> None:
    for one in waits:
        refused(one.result(TIMEOUT), 503, "overloaded")


def held(guest: Guest, **headers: str) -> tuple[int, Future[Reply]]:
    """A table, and a deed there that awaits its approval."""
    table = guest.opens(approval_seconds=3_600)
    with guest.follows(table) as stream:
        acted = aside(guest.acts, table, **headers)
        stream.until("metadata", phase="approval")
    return table, acted


def test_deed_that_awaits_its_approval_or_its_turn_does_not_hold_the_end(
    service: Served, model: FakeModel
) -> None:
    model.default = script_of()
    guest = Guest(service, "olga")
    table, acted = held(guest)
    queued = aside(guest.acts, table)
    service.wait_for(lambda: waiting(guest, table) == 1)
    stop(service)
    asked_to_come_back(acted, queued)
    known = guest.call("GET", f"/{table}/approval")
    assert known.status == 200  # it is left to the next process


def test_turn_that_waits_for_another_one_does_not_hold_the_end(
    serve: Callable[..., Served], journey_log: FakeJourneyLog
) -> None:
    service = serve(turn_conflict="queue")
    character = journey_log.seed_character("local")
    first = service.call("POST", "/turn", turn_body(character, commit="manual"))
    assert first.status == 202
    with service.live(character) as stream:
        stream.until("metadata", phase="queued")
    second = aside(service.call, "POST", "/turn", turn_body(character, "I wait."))
    with service.live(character, "I wait, too.") as stream:
        stream.until("metadata", phase="queued")
        service.wait_for(lambda: service.requests_under_way == 2)
        stop(service)
        asked_to_come_back(second)


def test_deed_that_another_node_plays_does_not_hold_the_end(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    model.default = script_of()
    store = SERVERS.postgres.emptied()
    here, there = (serve(store_url=store) for _ in range(2))
    table, acted = held(Guest(here, "olga"), Idempotency_Key="once")
    again = aside(Guest(there, "olga").acts, table, Idempotency_Key="once")
    there.wait_for(lambda: there.requests_under_way == 1)
    stop(there)
    asked_to_come_back(again)
    assert Guest(here, "olga").call("POST", f"/{table}/approval").status == 202
    assert acted.result(TIMEOUT).status == 200


def test_process_ends_with_an_answer_to_whoever_waits(tmp_path: Path) -> None:
    with running(tmp_path, STORYTELLER_TOKENS_PER_SECOND="0") as process:
        _, acted = held(Guest(At(process.port()), "olga"))
        assert process.stop() == 0
        asked_to_come_back(acted)
