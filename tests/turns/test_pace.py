"""Turns begin a few in each round of the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from app.turns import pace as paces
from app.turns.pace import Pace


async def begun(count: int, pace: Pace, work: Callable[[], None] = lambda: None) -> list[list[int]]:
    """Who began in each round of the loop, if all want to at once."""
    rounds: list[list[int]] = [[]]
    over = False

    def next_round() -> None:
        if not over:
            rounds.append([])
            asyncio.get_running_loop().call_soon(next_round)

    async def begin(number: int) -> None:
        await pace.wait()
        rounds[-1].append(number)
        work()

    next_round()
    await asyncio.gather(*(begin(number) for number in range(count)))
    over = True
    return [found for found in rounds if found]


def test_one_alone_does_not_wait() -> None:
    async def alone() -> None:
        pace = Pace()
        for _ in range(100):
            waiting = pace.wait()
            with pytest.raises(StopIteration):
                waiting.send(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(alone())


def test_many_begin_in_their_order_and_more_at_once_while_rounds_are_short() -> None:
    rounds = asyncio.run(begun(200, Pace()))
    assert [number for found in rounds for number in found] == list(range(200))
    assert len(rounds) > 4
    assert max(map(len, rounds)) <= paces.MOST_AT_ONCE


def test_where_rounds_are_long_one_begins_in_each() -> None:
    rounds = asyncio.run(begun(20, Pace(), lambda: time.sleep(paces.LONG_ROUND)))
    assert [len(found) for found in rounds[-5:]] == [1] * 5


def test_who_is_cancelled_in_line_costs_nobody_a_place() -> None:
    async def crowd() -> int:
        pace, through = Pace(), 0

        async def begin() -> None:
            nonlocal through
            await pace.wait()
            through += 1

        tasks = [asyncio.create_task(begin()) for _ in range(60)]
        await asyncio.sleep(0)
        for task in tasks[10:50]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return through

    assert asyncio.run(crowd()) >= 20
