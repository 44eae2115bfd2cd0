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


def test_where_rounds_are_long_few_begin_in_each() -> None:
    rounds = asyncio.run(begun(60, Pace(), lambda: time.sleep(paces.LONG_ROUND / 2)))
    assert len(rounds[0]) > paces.LEAST_AT_ONCE
    assert [len(found) for found in rounds[-5:-1]] == [paces.LEAST_AT_ONCE] * 4


def test_who_is_cancelled_in_line_costs_nobody_a_place() -> None:
    async def crowd() -> tuple[int, int, int]:
        pace = Pace()
        tasks = [asyncio.create_task(pace.wait()) for _ in range(100)]
        await asyncio.sleep(0)
        at_once = sum(task.done() for task in tasks)
        waiting = pace.waiting
        for task in tasks[at_once:80]:
            task.cancel()
        for _ in range(3):  # the round in which they leave, and one for the rest
            await asyncio.sleep(0)
        return at_once, waiting, sum(not task.done() for task in tasks)

    at_once, waiting, left = asyncio.run(crowd())
    assert waiting == 100 - at_once
    assert left <= 100 - 80 - paces.LEAST_AT_ONCE
