"""Whose turn is next at a table, in any order of asking: whoever waits is passed by nobody twice."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_adapters import Stores, admitted, queued

from journal import ending

PLAYERS = ("ann", "bob", "cid", "dan")


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

    with asyncio.Runner() as runner:
        process = Stores(adapter, tmp_path).process()
        store = runner.run(enter(process))
        try:
            holds()
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
