"""More turns than there is room for: those that run are not slowed, the others are refused at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import pytest
from app.errors import Overloaded
from app.generation.fair_limiter import FairLimiter
from app.turns import wiring
from app.turns.load_shedding import LagMeter, LoadShedder
from callers import PLAIN, Player, all_at_once, statuses
from hypothesis import given
from hypothesis import strategies as st

from fakes.journey_log import FakeJourneyLog
from fakes.model import NARRATIVE, FakeModel, Script
from loops import VirtualLoop, in_virtual_time
from serving import Live, Served, aside, refused, turn_body

Serve = Callable[..., Served]


# -- when the service is full ---------------------------------------------------------------------


def full(lag: float = 0.0, model: int = 0, store: int = 0) -> bool:
    load = LoadShedder(
        lag=lambda: lag,
        model_waiting=lambda: model,
        store_waiting=lambda: store,
        max_lag=0.25,
        max_model_waiting=4,
        max_store_waiting=6,
    )
    try:
        load.check()
    except Overloaded:
        return True
    return False


@pytest.mark.parametrize(
    ("lag", "model", "store", "refuses"),
    [
        (0, 0, 0, False),
        (0.25, 3, 5, False),
        (0.26, 0, 0, True),
        (0, 4, 0, True),
        (0, 0, 6, True),
    ],
)
def test_one_bound_that_is_passed_is_enough(
    lag: float, model: int, store: int, refuses: bool
) -> None:
    assert full(lag, model, store) == refuses


@in_virtual_time
async def test_the_lag_is_how_late_the_loop_is_and_passes() -> None:
    loop, meter = cast(VirtualLoop, asyncio.get_running_loop()), LagMeter()
    task = asyncio.create_task(meter.run())
    await asyncio.sleep(0.15)
    assert meter.lag < 0.001
    loop.jump(0.5)  # as a callback that takes so long
    await asyncio.sleep(0.05)
    during = meter.lag
    assert 0.05 < during < 0.5
    await asyncio.sleep(10)
    assert meter.lag < during / 2
    task.cancel()


# -- places at the model --------------------------------------------------------------------------


class Line:
    """Turns that want a place, each held until it is let go."""

    def __init__(self, slots: FairLimiter) -> None:
        self._slots = slots
        self.began: list[int] = []
        self.go = {number: asyncio.Event() for number in range(20)}

    async def one(self, number: int, who: str = "") -> None:
        async with self._slots.hold(who):
            self.began.append(number)
            await self.go[number].wait()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_places_are_given_in_the_order_of_arrival() -> None:
    async def run() -> None:
        slots = FairLimiter(2, 10)
        line = Line(slots)
        tasks = [asyncio.create_task(line.one(number)) for number in range(8)]
        await settled()
        assert (line.began, slots.busy, slots.waiting) == ([0, 1], 2, 6)
        late = asyncio.create_task(line.one(8))
        for number in range(9):
            line.go[number].set()
            await settled()
            assert line.began == list(range(min(number + 3, 9)))
        await asyncio.gather(*tasks, late)
        assert (slots.busy, slots.waiting) == (0, 0)

    asyncio.run(run())


def test_user_with_many_waiting_turns_delays_nobody_else() -> None:
    async def run() -> None:
        slots = FairLimiter(1, 10)
        line = Line(slots)
        players = ["hog"] * 6 + ["mara", "otto", "mara"]
        tasks = []
        for number, who in enumerate(players):
            tasks.append(asyncio.create_task(line.one(number, who)))
            await settled()
        for _ in players:
            line.go[line.began[-1]].set()
            await settled()
        await asyncio.gather(*tasks)
        assert [players[number] for number in line.began] == [
            *("hog", "hog", "mara", "otto"),
            *("hog", "mara", "hog", "hog", "hog"),
        ]

    asyncio.run(run())


Step = tuple[str, str, int]


@given(
    st.integers(1, 3),
    st.lists(
        st.tuples(
            st.sampled_from(["come", "come", "end", "leave", "both"]),
            st.sampled_from("abc"),
            st.integers(0, 9),
        ),
        max_size=40,
    ),
)
def test_no_place_is_ever_lost_or_idle_while_somebody_waits(limit: int, steps: list[Step]) -> None:
    async def run() -> None:
        slots = FairLimiter(limit, 10)
        ends: dict[asyncio.Task[None], asyncio.Event] = {}

        async def one(who: str, end: asyncio.Event) -> None:
            async with slots.hold(who):
                await end.wait()

        for what, who, choice in steps:
            there = [task for task in ends if not task.done()]
            if what == "come" or not there:
                end = asyncio.Event()
                ends[asyncio.create_task(one(who, end))] = end
            task = there[choice % len(there)] if there else None
            if task is not None and what in ("end", "both"):
                ends[task].set()
            if task is not None and what in ("leave", "both"):
                there[-1].cancel()
            await settled()
            assert slots.busy <= limit
            assert slots.busy == limit or slots.waiting == 0
            there = [task for task in ends if not task.done()]
            assert slots.busy + slots.waiting == len(there)
        for end in ends.values():
            end.set()
        await asyncio.gather(*ends, return_exceptions=True)
        assert (slots.busy, slots.waiting) == (0, 0)

    asyncio.run(run())


def test_turn_that_waits_too_long_is_refused_and_its_place_is_not_lost() -> None:
    async def run() -> None:
        slots = FairLimiter(1, 0.05)
        line = Line(slots)
        first = asyncio.create_task(line.one(0))
        await settled()
        with pytest.raises(Overloaded):
            await line.one(1)
        assert slots.waiting == 0
        line.go[0].set()
        await first
        line.go[2].set()
        await line.one(2)
        assert line.began == [0, 2]

    asyncio.run(run())


def test_turn_that_leaves_the_queue_takes_no_place() -> None:
    async def run() -> None:
        slots = FairLimiter(1, 10)
        line = Line(slots)
        tasks = [asyncio.create_task(line.one(number)) for number in range(3)]
        await settled()
        tasks[1].cancel()
        line.go[0].set()
        await settled()
        assert line.began == [0, 2]
        line.go[2].set()
        await asyncio.gather(tasks[0], tasks[2])
        assert (slots.busy, slots.waiting) == (0, 0)

    asyncio.run(run())


@pytest.mark.parametrize("leaves", ["before", "after"])
def test_turn_that_leaves_as_it_gets_a_place_passes_it_on(leaves: str) -> None:
    async def run() -> None:
        slots = FairLimiter(1, 10)
        line = Line(slots)
        async with slots.hold():
            first, second = (asyncio.create_task(line.one(number)) for number in range(2))
            await settled()
            if leaves == "before":
                first.cancel()
        first.cancel()
        await settled()
        assert line.began == [1]
        line.go[1].set()
        await second
        assert (slots.busy, slots.waiting) == (0, 0)

    asyncio.run(run())


def test_without_patience_a_free_place_is_still_given() -> None:
    async def run() -> None:
        line = Line(FairLimiter(1, 0))
        line.go[0].set()
        await line.one(0)
        assert line.began == [0]

    asyncio.run(run())


# -- over sockets ---------------------------------------------------------------------------------


@pytest.fixture
def gate(model: FakeModel) -> Iterator[threading.Event]:
    """Holds every story back until it is set."""
    event = threading.Event()
    model.default = Script(gate=event)
    yield event
    event.set()


def test_beyond_the_queue_a_turn_is_refused_at_once_and_leaves_nothing(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, gate: threading.Event
) -> None:
    # A turn that waited for a place would wait for longer than the test may take.
    patient = {"llm_slot_wait_seconds": 300, "max_turns_per_character_per_second": 1}
    service = serve(**PLAIN, **patient, max_concurrent_llm_calls=3)
    player = Player(service, journey_log)
    character, reads = player.character(), len(journey_log.requests)
    turns = [aside(player.turn) for _ in range(6)]
    service.wait_for(partial(waiting, service, 3))
    for _ in range(20):
        reply = player.turn(character, Idempotency_Key="k")
        problem = refused(reply, 503, "overloaded")
        assert problem["error"]["recoverable"] is True
    recent = f"/admin/characters/{character}/recent_turns"
    assert service.call("GET", recent).json()["turns"] == []
    assert len(journey_log.requests) == reads + 6
    gate.set()
    assert {turn.result(300).status for turn in turns} == {200}
    assert player.turn(character, Idempotency_Key="k").status == 200
    assert len(model.calls) == 7


def test_flood_admits_as_many_turns_as_there_is_room_for(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, gate: threading.Event
) -> None:
    service = serve(**PLAIN, max_concurrent_llm_calls=5)
    player = Player(service, journey_log)
    first = [aside(player.turn) for _ in range(10)]
    service.wait_for(partial(waiting, service, 5))
    replies = all_at_once([partial(player.turn, player.character()) for _ in range(40)])
    assert statuses(replies) == [503] * 40
    gate.set()
    assert {turn.result(300).json()["narrative"] for turn in first} == {NARRATIVE}


def test_turns_get_the_model_in_the_order_in_which_they_came(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    service = serve(**PLAIN, max_concurrent_llm_calls=4)
    player = Player(service, journey_log)
    gates = [threading.Event() for _ in range(8)]
    model.then(*(Script(gate=each) for each in gates))
    turns = []
    for number in range(8):
        turns.append(aside(player.turn, None, {"action": f"turn {number}"}))
        if number < 4:
            model.wait_for(partial(asked, model, number + 1))
        else:
            service.wait_for(partial(waiting, service, number - 3))
    for each in gates:
        each.set()
        turns[gates.index(each)].result(300)
    order = [next(n for n in range(8) if f"turn {n}" in str(call)) for call in model.calls]
    assert order == list(range(8))


def test_a_user_with_many_turns_waiting_keeps_nobody_else_behind_them(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    service = serve(**PLAIN, max_concurrent_llm_calls=6)
    hog, mara = (Player(service, journey_log, name) for name in ("hog", "mara"))
    gates = [threading.Event() for _ in range(12)]
    model.then(*(Script(gate=each) for each in gates))
    turns = []
    for number in range(12):
        player = mara if number == 11 else hog
        turns.append(aside(player.turn, None, {"action": f"I am {player.name}."}))
        if number < 6:
            model.wait_for(partial(asked, model, number + 1))
        else:
            service.wait_for(partial(waiting, service, number - 5))
    for number in range(2):
        gates[number].set()
        model.wait_for(partial(asked, model, 7 + number))
    assert ["mara" in str(call["messages"][-1]) for call in model.calls[6:]] == [False, True]
    for each in gates:
        each.set()
    assert {turn.result(300).status for turn in turns} == {200}


def asked(model: FakeModel, count: int) -> bool:
    return len(model.calls) == count


def waiting(service: Served, count: int) -> bool:
    return service.metric("dungeon_master_model_slots_waiting") == count


def test_the_wait_for_the_model_is_bounded(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, gate: threading.Event
) -> None:
    service = serve(**PLAIN, max_concurrent_llm_calls=1, llm_slot_wait_seconds=0.1)
    player = Player(service, journey_log)
    first = aside(player.turn)
    model.wait_for(lambda: model.stats.open)
    character = player.character()
    refused(player.turn(character, Idempotency_Key="k"), 503, "overloaded")
    body = turn_body(player.character())
    stream = service.stream("POST", "/turn/stream", body, **player.headers)
    assert (stream.last["error_type"], stream.last["recoverable"]) == ("overloaded", True)
    assert stream.last["retry_after_seconds"] > 0
    gate.set()
    assert first.result(300).status == 200
    assert player.turn(character, Idempotency_Key="k").status == 200


class SetMeter(LagMeter):
    """A lag that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.lag = 0.0

    async def run(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> SetMeter:
    meter = SetMeter()
    monkeypatch.setattr(wiring, "LagMeter", lambda: meter)
    return meter


@pytest.mark.parametrize("path", ["/turn", "/turn/stream", "/characters"])
def test_while_the_loop_lags_new_turns_are_refused(
    meter: SetMeter, serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, path: str
) -> None:
    player = Player(serve(**PLAIN), journey_log)
    hero = {"name": "Nim", "race": "Elf", "class_name": "Bard"}
    body = hero if path == "/characters" else turn_body(player.character())
    meter.lag = 90.0
    refused(player.call("POST", path, body), 503, "overloaded")
    assert model.calls == []
    meter.lag = 0.0
    assert player.call("POST", path, body).status in (200, 201)


def test_while_the_loop_lags_turns_that_were_admitted_go_on(
    meter: SetMeter,
    serve: Serve,
    journey_log: FakeJourneyLog,
    model: FakeModel,
    gate: threading.Event,
) -> None:
    player = Player(serve(**PLAIN), journey_log)
    service, character = player.service, player.character()
    body = turn_body(character, idempotency_key="k")
    with service.open("POST", "/turn/stream", body, **player.headers) as response:
        live = Live(response)
        live.until("metadata", phase="narrative")
        meter.lag = 90.0
        retry = aside(player.call, "POST", "/turn", body)
        refused(player.turn(), 503, "overloaded")
        gate.set()
        assert live.rest().narrative == NARRATIVE
    assert retry.result(300).json()["turn_id"] == live.turn_id
    assert player.call("GET", f"/turns/{live.turn_id}/events").status == 200
    assert journey_log.narratives(character) == [NARRATIVE]


def test_beyond_the_streams_that_may_be_open_there_is_room_for_no_other(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, gate: threading.Event
) -> None:
    player = Player(serve(**PLAIN, max_streams=1), journey_log)
    body = turn_body(player.character())
    with player.service.open("POST", "/turn/stream", body, **player.headers) as response:
        assert response.status == 200
        other = player.call("POST", "/turn/stream", turn_body(player.character()))
        refused(other, 503, "overloaded")
        gate.set()
        assert b'"complete"' in response.read()


def test_a_retry_by_its_key_needs_a_place_to_read_from_and_spends_nothing(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, gate: threading.Event
) -> None:
    """Places bound what readers cost, whatever they read; to wait for the end takes none."""
    settings = {**PLAIN, "max_streams": 1, "max_turns_per_character_per_second": 0.1}
    player = Player(serve(**settings), journey_log)
    body = turn_body(player.character(), idempotency_key="k")
    with player.service.open("POST", "/turn/stream", body, **player.headers) as response:
        live = Live(response)
        live.until("metadata", phase="narrative")
        for _ in range(3):
            refused(player.call("POST", "/turn/stream", body), 503, "overloaded")
        waiting = aside(player.call, "POST", "/turn", body)
        gate.set()
        assert live.rest().last["type"] == "complete"
    assert waiting.result(300).json()["turn_id"] == live.turn_id
    player.service.wait_for(lambda: player.service.metric("dungeon_master_streams_active") == 0)
    again = player.service.stream("POST", "/turn/stream", body, **player.headers)
    assert again.frames == live.seen.frames
    assert len(model.calls) == 1
