"""Streams that run once everything around their endpoint has returned.

What awaits a stream takes memory for as long as it is open: each coroutine of a router, of middleware
and of the endpoint some 250 bytes.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from starlette.types import Scope

LATER: Final = "dungeon_master.later"
"""A place in the state of a request, for the stream that runs later."""


def later(scope: Scope, stream: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """Leave the stream to what is around all middleware; the stream itself where nothing is."""
    state = scope.get("state", {})
    if LATER not in state:
        return stream
    state[LATER] = stream
    return _nothing()


async def _nothing() -> None:
    pass
