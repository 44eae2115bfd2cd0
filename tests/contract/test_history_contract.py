"""What every `TurnHistory` does. An adapter joins by one line in `store_adapters`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app.ports.store import TurnStore
from store_adapters import ADAPTERS, Stores, admitted, queued

from journal import CHARACTER, HASH, OTHER_HASH, USER, ending
from loops import in_loop


@pytest.fixture(params=list(ADAPTERS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


async def ended(store: TurnStore, turn_id: str, status: Any = "complete", **fields: Any) -> None:
    claim = await admitted(store, turn_id, **fields)
    await store.finish(claim, ending(status))


@in_loop
async def test_turns_of_a_character_are_newest_first_and_of_its_player(stores: Stores) -> None:
    async with stores.process() as store:
        for number in range(5):
            await ended(store, f"t{number}")
        await ended(store, "other", character_id="another")
        await ended(store, "foreign", user_id="ann")
        await admitted(store, "open")
        turns = await store.character_turns(USER, CHARACTER, 3)
        assert [turn.turn_id for turn in turns] == ["open", "t4", "t3"]
        assert [turn.status for turn in turns] == ["running", "complete", "complete"]
        assert turns[1].result == {"narrative": "é"}
        assert turns[1].recording is None
        older = await store.character_turns(USER, CHARACTER, 10, "t3")
        assert [turn.turn_id for turn in older] == ["t2", "t1", "t0"]
        assert await store.character_turns(USER, CHARACTER, 10, "t0") == []
        assert await store.character_turns(USER, CHARACTER, 10, "unknown") == []


@in_loop
async def test_turns_since_are_oldest_first(stores: Stores) -> None:
    async with stores.process() as store:
        for number in range(3):
            await ended(store, f"t{number}")
        await ended(store, "foreign", user_id="ann")
        await admitted(store, "running")
        await queued(store, "waiting")
        statuses = [("running", "running"), ("waiting", "queued")]
        since = await store.turns_since(USER, CHARACTER, "t1")
        assert since == [("t2", "complete"), *statuses]
        assert len(await store.turns_since(USER, CHARACTER, None)) == 5
        assert await store.turns_since(USER, CHARACTER, "no longer kept") == statuses
        assert await store.turns_since(USER, CHARACTER, "waiting") == []
        assert await store.open_turns(USER, CHARACTER) == statuses
        assert await store.open_turns(USER, "another") == []


@in_loop
async def test_order_of_turns_does_not_depend_on_the_clock(stores: Stores) -> None:
    async with stores.process() as store:
        await ended(store, "first")
        stores.clock.now -= 60
        await ended(store, "second")
        assert await store.turns_since(USER, CHARACTER, "first") == [("second", "complete")]
        turns = await store.character_turns(USER, CHARACTER, 10)
        assert [turn.turn_id for turn in turns] == ["second", "first"]


@pytest.mark.parametrize("status", ["complete", "error"])
@in_loop
async def test_only_a_completed_turn_counts_as_played(stores: Stores, status: Any) -> None:
    async with stores.process() as store:
        await ended(store, "t1", status)
        assert await store.has_played(USER, CHARACTER) is (status == "complete")
        assert await store.has_played("ann", CHARACTER) is False


@in_loop
async def test_a_request_is_repeated_by_the_same_user_body_and_key(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, idempotency_key="k")
        for _ in range(2):
            assert await store.is_repeated("t1", USER, HASH, "k")
            assert await store.is_repeated("t1", USER, HASH, None)
            for other in (
                ("t2", USER, HASH, "k"),
                ("t1", "ben", HASH, "k"),
                ("t1", USER, OTHER_HASH, "k"),
                ("t1", USER, HASH, "l"),
            ):
                assert not await store.is_repeated(*other)
            await store.finish(claim, ending())


@in_loop
async def test_a_request_whose_key_was_given_back_is_still_repeated(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, idempotency_key="k")
        await store.finish(claim, ending("error", release_key=True))
        assert await store.is_repeated("t1", USER, HASH, "k")
