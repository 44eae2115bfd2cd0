"""Tests that are coroutines, in real or in virtual time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")
SECONDS = 300.0
Test = Callable[P, Coroutine[Any, Any, None]]


def in_loop(test: Test[P]) -> Callable[P, None]:
    """Run a coroutine as a test, in an event loop of its own."""

    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), SECONDS))

    return run


def in_virtual_time(test: Test[P]) -> Callable[P, None]:
    """Run a coroutine as a test, in a loop whose time passes when nobody has anything to do."""

    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*arguments, **named))

    return run


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time jumps to the next timer instead of waiting for it.

    A loop in which nothing is due and nothing is ready would wait forever: that is an error.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class SteadyLoop(asyncio.SelectorEventLoop):
    """Its time passes only while it waits, a moment at a time however long the moment took: a busy
    machine makes no timer fire before the answer that it waits for."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Counting(self))

    def time(self) -> float:
        return self._now

    def wait(self, seconds: float) -> None:
        """Count a moment."""
        self._now += seconds


class _Counting(selectors.DefaultSelector):
    MOMENT = 0.005

    def __init__(self, loop: SteadyLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        left = timeout or 0.0
        while left > 0:
            moment = min(left, self.MOMENT)
            if found := super().select(moment):
                return found
            self._loop.wait(moment)
            left -= moment
        return super().select(timeout if timeout is None else 0)


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("every task waits for something that never comes")
        self._loop.jump(timeout)
        return super().select(0)
