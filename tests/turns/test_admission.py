"""How a request becomes a turn: keys, limits, budgets, queues, on the in-memory store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from app.core.limits import per_minute
from app.core.money import Amount, Spent
from app.core.stages import Stage
from app.errors import (
    CharacterNotFound,
    IdempotencyKeyReused,
    Overloaded,
    RateLimitExceeded,
    StoreUnavailable,
    TokenBudgetExceeded,
    TurnInProgress,
)
from app.ports.store import Admitted, Attached, TurnRequest
from app.turns.admission_rules import AdmissionRules
from app.turns.state import TurnState
from parts import House, events, kinds, no_prepare, rules

from fakes.store.store import MemoryTurnStore
from journal import USER, turn_request
from loops import in_virtual_time


async def unprepared(request: TurnRequest) -> TurnRequest:
    no_prepare(request)
    return request


# -- keys -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_key_attaches_while_the_turn_runs_and_after_it() -> None:
    house = House()
    house.model.gate = asyncio.Event()
    turn = await house.start(idempotency_key="k")
    assert await house.admit(idempotency_key="k") == Attached(turn.turn_id)
    house.model.gate.set()
    await turn.wait_ended()
    assert await house.admit(idempotency_key="k") == Attached(turn.turn_id)
    assert house.model.calls == 1


@in_virtual_time
async def test_copies_sent_at_once_become_one_turn() -> None:
    house = House(admission=rules(character=per_minute("character", 1)))
    found = await asyncio.gather(*(house.admit(idempotency_key="k") for _ in range(8)))
    (turn,) = [one for one in found if isinstance(one, TurnState)]
    assert [one for one in found if one is not turn] == [Attached(turn.turn_id)] * 7


@in_virtual_time
async def test_a_key_with_another_body_is_refused() -> None:
    house = House()
    await house.play(idempotency_key="k")
    for other in ({"user_action": "I flee."}, {"dry_run": True}, {"character_id": "c2"}):
        with pytest.raises(IdempotencyKeyReused):
            await house.admit(idempotency_key="k", **other)


@in_virtual_time
async def test_the_same_request_may_have_another_request_id() -> None:
    house = House()
    turn = await house.play(idempotency_key="k", request_id="one")
    found = await house.admit(idempotency_key="k", request_id="two", traceparent="trace")
    assert found == Attached(turn.turn_id)


# -- one at a time --------------------------------------------------------------------------------


@in_virtual_time
async def test_a_second_turn_is_refused_with_the_address_of_the_first() -> None:
    house = House()
    house.model.gate = asyncio.Event()
    turn = await house.start()
    with pytest.raises(TurnInProgress) as caught:
        await house.admit()
    assert caught.value.headers == {"Location": f"/turns/{turn.turn_id}/events"}
    assert caught.value.extra == {"turn_id": turn.turn_id}
    house.model.gate.set()
    await turn.wait_ended()
    assert (await house.play()).stage is Stage.ENDED


@in_virtual_time
async def test_queued_turns_run_in_the_order_they_came() -> None:
    house = House(queue_limit=3)
    house.model.gate = asyncio.Event()
    turns = [await house.start(user_action=f"step {n}") for n in range(4)]
    with pytest.raises(TurnInProgress):
        await house.admit()
    assert [turn.stage for turn in turns[1:]] == [Stage.QUEUED] * 3
    assert [events(turn)[0]["position"] for turn in turns[1:]] == [1, 2, 3]
    house.model.gate.set()
    for turn in turns:
        await turn.wait_ended()
    actions = [write.body["user_action"] for _, write in house.journey_log.sent if write.body]
    assert actions == ["step 0", "step 1", "step 2", "step 3"]
    assert kinds(turns[3])[:3] == ["queued", "start", "context"]


@in_virtual_time
async def test_a_queued_turn_sees_the_progress_of_the_one_before() -> None:
    house = House(queue_limit=1)
    first, second = await house.start(), await house.start()
    await second.wait_ended()
    assert (first.progress.turns, second.progress.turns) == (0, 1)


@in_virtual_time
async def test_a_failed_turn_lets_the_next_one_run() -> None:
    house = House(queue_limit=1)
    house.journey_log.context_error = CharacterNotFound()
    first, second = await house.start(), await house.start()
    await first.wait_ended()
    await second.wait_ended()
    assert house.executor.running == {}
    assert house.journey_log.reads == 2


# -- limits ---------------------------------------------------------------------------------------

ONE = rules(character=per_minute("character", 1))


@in_virtual_time
async def test_a_full_window_refuses_before_anything_is_stored() -> None:
    house = House(admission=ONE)
    await house.play()
    with pytest.raises(RateLimitExceeded):
        await house.admit(unprepared)
    assert len(house.journal.turns) == 1
    await asyncio.sleep(60)
    await house.play()


@in_virtual_time
async def test_attaching_takes_no_place_in_a_window() -> None:
    house = House(admission=rules(character=per_minute("character", 2)))
    await house.play(idempotency_key="k")
    for _ in range(5):
        assert isinstance(await house.admit(idempotency_key="k"), Attached)
    await house.play()


@in_virtual_time
async def test_a_turn_that_was_refused_gives_its_place_back() -> None:
    house = House(admission=rules(character=per_minute("character", 2)))
    house.model.gate = asyncio.Event()
    turn = await house.start()
    for _ in range(5):
        with pytest.raises(TurnInProgress):
            await house.admit()
    house.model.gate.set()
    await turn.wait_ended()
    await house.play()


@in_virtual_time
async def test_a_request_that_cannot_be_prepared_leaves_nothing_behind() -> None:
    async def fails(_: TurnRequest) -> TurnRequest:
        raise CharacterNotFound

    house = House(admission=ONE)
    with pytest.raises(CharacterNotFound):
        await house.admit(fails, idempotency_key="k")
    assert house.journal.turns == {}
    assert isinstance(await house.admit(idempotency_key="k"), TurnState)


@in_virtual_time
async def test_prepared_request_is_the_one_that_runs() -> None:
    async def named(request: TurnRequest) -> TurnRequest:
        return replace(request, character_id="made")

    house = House()
    turn = await house.admit(named, character_id="")
    assert isinstance(turn, TurnState)
    assert turn.request.character_id == "made"


# -- budgets --------------------------------------------------------------------------------------


def reservation(house: House) -> int:
    (row,) = [row for row in house.journal.turns.values() if row.phase != "done"]
    return row.reserved.tokens


@in_virtual_time
async def test_turn_reserves_tokens_and_pays_its_usage() -> None:
    house = House(admission=rules(budget=Amount(10**6)))
    house.model.gate = asyncio.Event()
    turn = await house.start()
    assert await house.store.spent(USER) == Spent(reserved=Amount(reservation(house)))
    assert reservation(house) > 1_000
    house.model.gate.set()
    await turn.wait_ended()
    assert await house.store.spent(USER) == Spent(Amount(50), Amount(0))


@in_virtual_time
async def test_an_exhausted_budget_refuses_before_the_request_is_prepared() -> None:
    house = House(admission=rules(budget=Amount(100)))
    for prepare in (None, unprepared):
        with pytest.raises(TokenBudgetExceeded):
            await house.admit(prepare)
    assert house.journal.turns == {}


@in_virtual_time
async def test_a_turn_that_failed_before_the_model_was_asked_costs_nothing() -> None:
    house = House(admission=rules(budget=Amount(10**6)))
    house.journey_log.context_error = CharacterNotFound()
    await house.play(idempotency_key="k")
    assert await house.store.spent(USER) == Spent(Amount(0), Amount(0))
    house.journey_log.context_error = None
    assert isinstance(await house.admit(idempotency_key="k"), TurnState)


# -- load, shutdown, clients that leave -----------------------------------------------------------


@in_virtual_time
async def test_a_full_service_refuses_new_turns_and_not_known_ones() -> None:
    full = False

    def check_load() -> None:
        if full:
            raise Overloaded

    house = House(check_load=check_load)
    turn = await house.play(idempotency_key="k")
    full = True
    with pytest.raises(Overloaded):
        await house.admit()
    assert await house.admit(idempotency_key="k") == Attached(turn.turn_id)


@in_virtual_time
async def test_at_shutdown_new_turns_are_refused_and_known_ones_found() -> None:
    house = House()
    turn = await house.play(idempotency_key="k")
    house.admission.closed = True
    with pytest.raises(Overloaded):
        await house.admit()
    assert await house.admit(idempotency_key="k") == Attached(turn.turn_id)


@in_virtual_time
async def test_a_client_that_leaves_during_admission_leaves_a_turn_that_runs() -> None:
    reached = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(request: TurnRequest) -> TurnRequest:
        reached.set()
        await go_on.wait()
        return request

    house = House()
    client = asyncio.create_task(house.admit(slow))
    await reached.wait()
    client.cancel()
    go_on.set()
    assert await house.executor.drain(60) == 0
    (row,) = house.journal.turns.values()
    assert row.status == "complete"


class FailingDisk(MemoryTurnStore):
    """Admits, and then cannot keep it."""

    async def admit(self, turn_id: str, *arguments: Any, **named: Any) -> Any:
        found = await super().admit(turn_id, *arguments, **named)
        if isinstance(found, Admitted):
            del self._journal.turns[turn_id]
            durable: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            durable.set_exception(StoreUnavailable())
            found = replace(found, durable=durable)
        return found


@in_virtual_time
async def test_a_failed_commit_drops_the_turn() -> None:
    house = House(store=FailingDisk, admission=ONE)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await house.admit()
    assert house.executor.running == {}
    assert house.model.calls == 0


@pytest.mark.parametrize(
    ("kind", "charged"),
    [
        ("alone", ["table", "user", "address", "global", "model"]),
        ("collected", ["table", "user", "address"]),
        ("plays what was collected", ["global", "model"]),
    ],
)
def test_limits_of_whoever_acts_are_taken_when_they_act(kind: str, charged: list[str]) -> None:
    admission = AdmissionRules(
        character=per_minute("character", 1),
        user=per_minute("user", 1),
        address=per_minute("address", 1),
        everybody=per_minute("global", 1),
        models={"m": per_minute("model", 1)},
        default_model="m",
    )
    request = turn_request(
        kind="table", exclusive="table:1", per_minute=2, taken_before=kind.startswith("plays")
    )
    found = admission.charges(request, collected=kind == "collected")
    assert [charge.rule.name for charge in found] == charged
