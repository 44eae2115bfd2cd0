"""Whose turn is next at a table, in any order of asking: whoever waits is passed by nobody twice."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_adapters import Stores, admitted, queued

from journal import ending

PLAYERS = ("ann", "bob", "cid", "dan")


async def served(store: Any, asked: list[str | None]) -> list[tuple[str, set[str]]]:
    """Who was served, with who waited meanwhile. None in `asked`: the running turn ends."""
    table = {"kind": "table", "exclusive": "table:1", "character_id": ""}
    claims: dict[str, Any] = {}
    players: dict[str, str] = {}
    waiting: list[str] = []
    running: str | None = None
    order: list[tuple[str, set[str]]] = []

    async def end(turn_id: str) -> str | None:
        await store.finish(claims[turn_id], ending())
        found: str | None = await store.promote("table:1")
        if found is not None:
            waiting.remove(found)
            order.append((players[found], {players[one] for one in waiting}))
        return found

    for number, player in enumerate([*asked, *([None] * len(asked))]):
        if player is None:
            running = None if running is None else await end(running)
            continue
        turn_id = f"t{number}"
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


@pytest.mark.parametrize("adapter", ["sqlite", "memory"])
@given(
    asked=st.lists(st.sampled_from([*PLAYERS, None]), max_size=14).filter(
        lambda asked: sum(one is not None for one in asked) <= 10
    )
)
def test_nobody_is_passed_twice_by_the_same_player(adapter: str, asked: list[str | None]) -> None:
    async def run() -> list[tuple[str, set[str]]]:
        with tempfile.TemporaryDirectory() as folder:
            async with Stores(adapter, Path(folder)).process() as store:
                return await served(store, asked)

    order = asyncio.run(run())
    for player in PLAYERS:
        passed: list[str] = []
        for who, others in order:
            if player in others and who != player:
                assert who not in passed, order
                passed.append(who)
            else:
                passed = []
