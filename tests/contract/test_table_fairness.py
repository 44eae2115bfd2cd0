"""The queue of a table, in any order of asking: whoever waits is passed by nobody twice, and nobody keeps
others from waiting."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from app.ports.store import Admitted, Busy, Queued
from hypothesis import given, settings
from hypothesis import strategies as st
from store_adapters import Stores, admitted, queued

from journal import HASH, ending, turn_request

PLAYERS = ("ann", "bob", "cid", "dan")
PLACES, SHARE = 5, 3  # in the queue, and of one player


async def served(store: Any, key: str, asked: list[str | None]) -> list[tuple[str, set[str]]]:
    """Who was served at that table, with who waited meanwhile. None in `asked`: the running turn ends."""
    table = {"kind": "table", "exclusive": key, "character_id": ""}
    claims: dict[str, Any] = {}
    players: dict[str, str] = {}
    waiting: list[str] = []
    running: str | None = None
    order: list[tuple[str, set[str]]] = []

    async def end(turn_id: str) -> str | None:
        await store.finish(claims[turn_id], ending())
        found: str | None = await store.promote(key)
        if found is not None:
            waiting.remove(found)
            order.append((players[found], {players[one] for one in waiting}))
        return found

    for number, player in enumerate([*asked, *([None] * len(asked))]):
        if player is None:
            running = None if running is None else await end(running)
            continue
        turn_id = f"{key}-{number}"
        players[turn_id] = player
        if running is None:
            claims[turn_id] = await admitted(store, turn_id, **table, user_id=player)
            running = turn_id
            order.append((player, set()))
        else:
            claims[turn_id] = await queued(store, turn_id, **table, user_id=player)
            waiting.append(turn_id)
    assert waiting == []
    return order


async def asks(store: Any, key: str, asked: list[str | None]) -> None:
    """Whoever asks is refused only with turns of their own in the queue. None: the running turn ends."""
    table = {"kind": "table", "exclusive": key, "character_id": "", "may_wait_each": SHARE}
    waiting: dict[str, str] = {}
    claims: dict[str, Any] = {}
    running: str | None = None
    for number, player in enumerate(asked):
        if player is None:
            if running is not None:
                await store.finish(claims[running], ending())
                running = await store.promote(key)
                waiting.pop(running or "", None)
            continue
        turn_id, own = f"{key}-{number}", list(waiting.values()).count(player)
        request = turn_request(**table, user_id=player)
        match await store.admit(turn_id, request, HASH, PLACES):
            case Admitted(claim):
                assert running is None
                running = turn_id
            case Queued(claim, position):
                assert position == len(waiting) + 1
                assert own == 0 or (own < SHARE and len(waiting) < PLACES)
                waiting[turn_id] = player
            case Busy(holder, over_share):
                assert (holder, over_share) == (running, True)
                assert own >= SHARE or (own > 0 and len(waiting) >= PLACES)
                continue
            case other:
                raise AssertionError(other)
        claims[turn_id] = claim


@pytest.mark.parametrize("adapter", ["sqlite", "memory", "postgres"])
def test_nobody_keeps_others_from_the_queue(adapter: str, tmp_path: Path) -> None:
    tables = itertools.count(1)

    @settings(max_examples=settings().max_examples // (4 if adapter == "postgres" else 1))
    @given(
        asked=st.lists(
            st.sampled_from(["ann"] * 4 + ["bob"] * 3 + [*PLAYERS, None, None]), max_size=24
        )
    )
    def holds(asked: list[str | None]) -> None:
        runner.run(asks(store, f"table:{next(tables)}", asked))

    with running(adapter, tmp_path) as (runner, store):
        holds()


@pytest.mark.parametrize("adapter", ["sqlite", "memory", "postgres"])
def test_nobody_is_passed_twice_by_the_same_player(adapter: str, tmp_path: Path) -> None:
    tables = itertools.count(1)

    @settings(max_examples=settings().max_examples // (4 if adapter == "postgres" else 1))
    @given(
        asked=st.lists(st.sampled_from([*PLAYERS, None]), max_size=14).filter(
            lambda asked: sum(one is not None for one in asked) <= 10
        )
    )
    def holds(asked: list[str | None]) -> None:
        order = runner.run(served(store, f"table:{next(tables)}", asked))
        for player in PLAYERS:
            require_fair(player, order)

    with running(adapter, tmp_path) as (runner, store):
        holds()


@contextmanager
def running(adapter: str, directory: Path) -> Iterator[tuple[asyncio.Runner, Any]]:
    with asyncio.Runner() as runner:
        process = Stores(adapter, directory).process()
        store = runner.run(enter(process))
        try:
            yield runner, store
        finally:
            runner.run(process.__aexit__(None, None, None))


async def enter(process: AbstractAsyncContextManager[Any]) -> Any:
    return await process.__aenter__()


def require_fair(player: str, order: list[tuple[str, set[str]]]) -> None:
    passed: list[str] = []
    for who, others in order:
        if player in others and who != player:
            assert who not in passed, order
            passed.append(who)
        else:
            passed = []
