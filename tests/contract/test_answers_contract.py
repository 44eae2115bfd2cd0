"""What every `Answers` and its `AnswerStore` do, in memory and in a real Redis."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from app.adapters.answers.memory import Bounds, MemoryAnswers
from app.adapters.answers.redis import RedisAnswers
from app.ports.answers import Answers

from databases import SERVERS, RedisServer
from journal import Hands
from loops import in_loop

BOTH = pytest.mark.parametrize("kind", ["memory", "redis"])
BOUNDS = Bounds(5, 100)


@asynccontextmanager
async def answers(kind: str, clock: Hands, url: str = "") -> AsyncIterator[Answers]:
    if kind == "memory":
        yield MemoryAnswers(clock, BOUNDS)
        return
    url = url or SERVERS.redis.url
    made = RedisAnswers(url, uuid.uuid4().hex, BOUNDS, pause=2, now=clock)
    yield made
    await made.aclose()


@BOTH
@in_loop
async def test_an_answer_is_kept_replaced_and_dropped(kind: str) -> None:
    async with answers(kind, Hands(0)) as made:
        store, other = made.kept("a", 60), made.kept("b", 60)
        assert await store.get(b"k") is None
        await store.put(b"k", b"one \xff\n")
        await store.put(b"k", b"two")
        assert (await store.get(b"k"), await other.get(b"k"), len(store)) == (b"two", None, 1)
        await store.drop(b"k")
        await store.drop(b"k")
        assert (await store.get(b"k"), len(store)) == (None, 0)


@BOTH
@in_loop
async def test_the_oldest_make_room_for_new_ones(kind: str) -> None:
    async with answers(kind, Hands(0)) as made:
        store = made.kept("a", 60)
        for number in range(BOUNDS.entries + 3):
            await store.put(b"%d" % number, b"x")
        assert len(store) == BOUNDS.entries
        assert (await store.get(b"2"), await store.get(b"3")) == (None, b"x")
        await store.put(b"large", b"x" * (BOUNDS.bytes - 1))
        assert (len(store), await store.get(b"7")) == (2, b"x")
        await store.put(b"too large", b"x" * (BOUNDS.bytes + 1))
        assert (len(store), await store.get(b"too large")) == (2, None)


@BOTH
@in_loop
async def test_a_name_may_have_room_for_more(kind: str) -> None:
    async with answers(kind, Hands(0)) as made:
        store = made.kept("a", 60, times=3)
        for number in range(3 * BOUNDS.entries + 1):
            await store.put(b"%d" % number, b"x")
        assert len(store) == 3 * BOUNDS.entries
        assert (await store.get(b"0"), await store.get(b"1")) == (None, b"x")


@BOTH
@in_loop
async def test_nothing_is_kept_without_a_time_to_live(kind: str) -> None:
    async with answers(kind, Hands(0)) as made:
        store = made.kept("a", 0)
        await store.put(b"k", b"one")
        assert (len(store), await store.get(b"k")) == (0, None)


@in_loop
async def test_answers_in_memory_expire() -> None:
    clock = Hands(0)
    async with answers("memory", clock) as made:
        store = made.kept("a", 60)
        await store.put(b"a", b"one")
        clock.now = 59
        await store.put(b"b", b"two")
        assert await store.get(b"a") == b"one"
        clock.now = 60
        assert (await store.get(b"a"), await store.get(b"b"), len(store)) == (None, b"two", 1)


@in_loop
async def test_answers_in_redis_expire() -> None:
    async with answers("redis", Hands(0)) as made:
        store = made.kept("a", 0.05)
        await store.put(b"a", b"one")
        while await store.get(b"a") is not None:
            pass
        await store.expire()
        assert len(store) == 0


@in_loop
async def test_one_of_many_is_at_work_until_it_says_otherwise() -> None:
    async with answers("redis", Hands(0)) as made:
        assert await made.replace(b"k", "", "one", 60) == ""
        assert await made.replace(b"k", "", "two", 60) == "one"
        assert await made.replace(b"other", "", "two", 60) == ""
        assert await made.replace(b"k", "one", "one, named", 60) == ""
        assert await made.replace(b"k", "one", "", 60) == "one, named"
        assert await made.replace(b"k", "one, named", "", 60) == ""
        assert await made.replace(b"k", "", "two", 0.01) == ""
        while await made.replace(b"k", "", "three", 60):
            pass


@in_loop
async def test_without_redis_nothing_is_known_and_nobody_is_at_work() -> None:
    server = RedisServer()
    clock = Hands(0)
    async with answers("redis", clock, server.url) as made:
        store = made.kept("a", 60)
        await store.put(b"k", b"one")
        server.stop()
        assert await store.get(b"k") is None
        await store.put(b"k", b"two")
        await store.drop(b"k")
        assert await made.replace(b"k", "", "one", 60) == ""
        server.start()
        await store.put(b"k", b"three")
        assert await store.get(b"k") is None, "it is not asked again at once"
        clock.now += 2
        await store.put(b"k", b"four")
        assert await store.get(b"k") == b"four"
    server.close()
