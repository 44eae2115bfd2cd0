"""An event loop on which open streams flow on while turns begin and end.

uvloop runs every ready callback before it looks at its sockets again. A turn begins and ends with
milliseconds of work. Where many do so at once, every token that has arrived meanwhile waits for all
of them. Here a round of the loop has three steps: read all sockets that hold something; run what
`call_first` was given, which passes on what came for streams; then run other ready callbacks for
`SLICE_SECONDS`, or a quarter of the time that the streams took, those of `urgent` tasks first. Under load,
turns begin and end later, and streams do not falter.

The tokens of all streams are read first and passed on then. It saves no CPU: what it is worth is the time
between tokens, see docs/performance.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from time import monotonic
from typing import Any, Final

import uvloop

SLICE_SECONDS: Final = 0.001
"""Long enough that looking at the sockets costs next to nothing, and a tenth of the time between two
tokens of a fast model."""


_IS_URGENT: Final[ContextVar[bool]] = ContextVar("is_urgent")


def urgent() -> Context:
    """For a task whose steps overtake what waits in line: a little work by which readers find the stream
    that they are to read next."""
    context = Context()
    context.run(_IS_URGENT.set, True)
    return context


class SlicedLoop(uvloop.Loop):
    """Callbacks given to `call_soon` run in order.

    Callbacks of timers, sockets and other threads may overtake them. What is in line at a `stop` runs
    when the loop runs again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first: deque[Callable[[], None]] = deque()
        self._urgent: deque[asyncio.Handle] = deque()
        self._line: deque[asyncio.Handle] = deque()
        self._called = False  # `_run_some` is among what the base will run
        self._empty_context = Context()

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """In debug mode it is uvloop's own, with all its checks."""
        if self.get_debug():
            return super().call_soon(callback, *args, context=context)
        if not self._called:
            self._call()
        handle = asyncio.Handle(callback, args, self, context)
        if context is not None and _IS_URGENT in context:
            self._urgent.append(handle)
        else:
            self._line.append(handle)
        return handle

    def call_first(self, callback: Callable[[], None]) -> None:
        """Run it before anything that waits in line; in an empty context."""
        if not self._called:
            self._call()
        self._first.append(callback)

    def _call(self) -> None:
        super().call_soon(self._run_some, context=self._empty_context)  # raises if it is closed
        self._called = True

    def close(self) -> None:
        """Close the loop. Callbacks that wait never run."""
        super().close()
        self._first.clear()
        self._urgent.clear()
        self._line.clear()
        self._called = False

    def _run_first(self) -> None:
        for _ in range(len(self._first)):
            callback = self._first.popleft()
            try:
                callback()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self.call_exception_handler(
                    {"message": f"Exception in {callback!r}", "exception": error}
                )

    def _run_some(self) -> None:
        """All of `_first`; then what is urgent, and what was in line at the beginning, until the time is
        over."""
        urgent, line, began = self._urgent, self._line, monotonic()
        try:
            if self._first:
                self._run_first()
            now = monotonic()
            until = now + max(SLICE_SECONDS, (now - began) / 4)
            for _ in range(len(urgent) + len(line)):
                handle = urgent.popleft() if urgent else line.popleft()
                if not handle.cancelled():
                    handle._run()  # as asyncio's loops do; it reports exceptions itself
                if monotonic() > until:
                    break
        finally:  # KeyboardInterrupt and SystemExit pass through; the loop may run on after them
            self._called = False
            if line or urgent or self._first:
                self._call()
