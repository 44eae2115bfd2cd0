"""Addresses without parameters, found by one look instead of one pattern after another."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Sequence
from functools import cache
from typing import Any

from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Receive, Scope, Send


@cache
def first_match(patterns: tuple[str, ...], path: str) -> int | None:
    """Which of the patterns takes the path. Services of one process have the same ones, and to look for
    all their paths is a sixth of what it takes to build one."""
    return next((n for n, pattern in enumerate(patterns) if re.match(pattern, path)), None)


class LiteralRoutes(BaseRoute):
    """Stands before `routes`, and leads where they would: to a route without parameters that no other one
    precedes which takes its path, too."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        taking = [route for route in routes if isinstance(route, (Route, Mount))]
        patterns = tuple(route.path_regex.pattern for route in taking)
        self._by_path = {
            route.path: route
            for number, route in enumerate(taking)
            if isinstance(route, Route) and "{" not in route.path
            if first_match(patterns, route.path) == number
        }

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = self._by_path.get(scope["path"]) if scope["type"] == "http" else None
        return (Match.NONE, {}) if found is None else found.matches(scope)

    def handle(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        found = scope["route"] = self._by_path[scope["path"]]
        return found.handle(scope, receive, send)
