"""Addresses without parameters, found by one look instead of one pattern after another."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Receive, Scope, Send


class LiteralRoutes(BaseRoute):
    """Stands before `routes`, and leads where they would: to a route without parameters that no other one
    precedes which takes its path, too."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        patterns = [route for route in routes if isinstance(route, (Route, Mount))]
        self._by_path = {
            route.path: route
            for route in patterns
            if isinstance(route, Route) and "{" not in route.path
            if next(one for one in patterns if one.path_regex.match(route.path)) is route
        }

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = self._by_path.get(scope["path"]) if scope["type"] == "http" else None
        return (Match.NONE, {}) if found is None else found.matches(scope)

    def handle(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        found = scope["route"] = self._by_path[scope["path"]]
        return found.handle(scope, receive, send)
