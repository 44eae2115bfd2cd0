"""What every `Contents` does. An adapter joins by one line in `store_adapters`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app.ports.contents import KeptContent
from app.ports.store import Ending, TurnStore, Verdict
from store_adapters import ADAPTERS, Stores, admitted

from journal import NOON
from loops import in_loop

BODY = {"content": "Ash \U0001f525 é \x00", "list": ["a", None, 1.5], "inner": {"x": True}}


@pytest.fixture(params=list(ADAPTERS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


def content(name: str, user: str = "mara", at: float = NOON, **fields: Any) -> KeptContent:
    values: dict[str, Any] = {"kind": "npc", "parent_id": None, "body": BODY, **fields}
    return KeptContent(name, user, created_at=at, **values)


async def made(store: TurnStore, one: KeptContent) -> Verdict:
    """By a turn that ends with it."""
    claim = await admitted(store, one.content_id, exclusive=f"content:{one.content_id}")
    return await store.finish(claim, Ending("complete", {}, [], content=one))


@in_loop
async def test_content_stored_with_a_turn_outlives_a_restart(stores: Stores) -> None:
    one = content("c1", parent_id="c0")
    async with stores.process() as store:
        assert await store.content("c1") is None
        assert await made(store, one) is Verdict.STORED
    async with stores.process() as store:
        assert await store.content("c1") == one


@in_loop
async def test_an_end_that_is_refused_keeps_nothing(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, "c1")
        await store.begin_cancel("c1")
        ending = Ending("complete", {}, [], content=content("c1"))
        assert await store.finish(claim, ending) is Verdict.CANCELLED
        assert await store.content("c1") is None


@in_loop
async def test_existing_content_stays(stores: Stores) -> None:
    async with stores.process() as store:
        await store.keep_content(content("c1"))
        await store.keep_content(content("c1", user="ben", body={}))
        assert await store.content("c1") == content("c1")


@in_loop
async def test_lists_are_the_user_s_own_newest_first_and_page_by_page(stores: Stores) -> None:
    async with stores.process() as store:
        for number in range(5):
            parent = "c0" if number in (2, 4) else None
            await store.keep_content(content(f"c{number}", at=NOON + number // 2, parent_id=parent))
        await store.keep_content(content("x", user="ben", at=NOON + 9, parent_id="c0"))

        async def names(limit: int = 10, **how: Any) -> list[str]:
            return [one.content_id for one in await store.contents("mara", limit, **how)]

        assert await names() == ["c4", "c3", "c2", "c1", "c0"]
        assert await names(2) == ["c4", "c3"]
        assert await names(2, before="c3") == ["c2", "c1"]
        assert await names(parent="c0") == ["c4", "c2"]
        assert await names(parent="c0", before="c4") == ["c2"]
        assert await names(before="unknown") == []
        assert await names(before="c0") == []


@in_loop
async def test_content_is_removed_once_and_its_children_stay(stores: Stores) -> None:
    async with stores.process() as store:
        await store.keep_content(content("c0"))
        await store.keep_content(content("c1", parent_id="c0"))
        assert await store.remove_content("c0") is True
        assert await store.remove_content("c0") is False
        assert await store.content("c0") is None
        assert await store.content("c1") == content("c1", parent_id="c0")


@in_loop
async def test_content_expires_by_its_age(stores: Stores) -> None:
    async with stores.process() as store:
        await store.keep_content(content("old"))
        await store.keep_content(content("new", at=NOON + 100))
        assert await store.expire_contents(NOON + 50) == 1
        assert await store.expire_contents(NOON + 50) == 0
        assert [one.content_id for one in await store.contents("mara", 9)] == ["new"]
