"""A turn that an outage ended with nothing written gives its key and its tokens back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fakes.journey_log import FakeJourneyLog, answers, drops, hangs
from fakes.model import NARRATIVE, FakeModel, Script
from serving import SOON, Reply, Served, turn_body

Serve = Callable[..., Served]

OUTAGES: dict[str, dict[str, Any]] = {
    "429": {"status": 429},
    "500": {"status": 500},
    "503": {"status": 503},
    "504": {"status": 504},
    "cut": {"drop_after": 8},
    "reset": {"reset_after": 8},
    "stalled": {"hang_after": 8},
    "silent": {"hang": True},
}


SETTINGS: dict[str, Any] = {"llm_max_retries": 0, "tokens_per_user_per_day": 10**6}
# Only for a turn that is to end by them: on a busy machine another one does, too.
HASTY: dict[str, Any] = {"timeout": SOON, "llm_idle_timeout": 1}


def post(service: Served, character: str, path: str = "/turn") -> Reply:
    return service.call("POST", path, turn_body(character, idempotency_key="k"))


def events(reply: Reply) -> list[dict[str, Any]]:
    lines = reply.body.decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def used(service: Served) -> tuple[int, int]:
    usage = service.call("GET", "/usage").json()
    return usage["tokens_used"], usage["tokens_reserved"]


@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
@pytest.mark.parametrize("outage", OUTAGES)
def test_outage_of_the_model_gives_key_and_tokens_back(
    serve: Serve, model: FakeModel, character: str, outage: str, path: str
) -> None:
    waits = outage in ("stalled", "silent")
    service = serve(**SETTINGS, **(HASTY if waits else {}))
    model.default = Script(**OUTAGES[outage])
    failed = post(service, character, path)
    error = events(failed)[-1] if path == "/turn/stream" else failed.error
    assert error["recoverable"] is True
    assert used(service) == (0, 0)
    model.default = Script()
    if waits:
        service.close()
        service = serve(**SETTINGS)
    again = post(service, character, path)
    outcome = again.json()["narrative"] if path == "/turn" else events(again)[-1]["type"]
    assert outcome in (NARRATIVE, "complete")
    assert used(service)[0] > 0


@pytest.mark.parametrize("fault", [answers(500), answers(429), answers(503), drops(), hangs()])
def test_outage_of_journey_log_gives_a_queued_turn_its_key_back(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str, fault: Any
) -> None:
    hasty = {"journey_log_timeout": SOON} if fault.end == "hang" else {}
    service = serve(
        turn_conflict="queue", journey_log_max_retries=0, breaker_failures=1000, **hasty
    )
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character) as first:
        first.until("token")
        with service.live(character, idempotency_key="k") as second:
            second.until("metadata", phase="queued")
            journey_log.fail("context", fault)
            gate.set()
            failed = second.rest().last
    assert (failed["type"], failed["recoverable"]) == ("error", True)
    assert post(service, character).json()["narrative"] == NARRATIVE


def test_failure_that_is_no_outage_keeps_its_key_and_costs_tokens(
    serve: Serve, model: FakeModel, character: str
) -> None:
    service = serve(**SETTINGS)
    model.then(*[Script(text="no outcome")] * 2)
    failed = post(service, character)
    assert (failed.status, failed.error["recoverable"]) == (502, False)
    assert used(service)[0] > 0
    asked = len(model.calls)
    assert post(service, character).status == 502
    assert len(model.calls) == asked
