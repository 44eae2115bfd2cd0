"""The rate headers of answers to content requests."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.content.kind import Kind
from app.ports.turn import TurnRequest
from app.turns.routes import client_of
from app.turns.service import TurnService
from app.web.answer_headers import AnswerHeaders

ROOT: Final = "/api/v2"
LIMIT: Final = "X-RateLimit-Limit"


class ContentHeadroom:
    """Where a path is no kind's, of the limit with the least left; to nobody, of those that concern all."""

    def __init__(self, turns: TurnService, kinds: Iterable[Kind[Any, Any]]) -> None:
        self._turns = turns
        self._charged: dict[str, str] = {f"{ROOT}{kind.path}": kind.charged for kind in kinds}

    async def left(self, connection: HTTPConnection, path: str) -> dict[str, str]:
        """The headers that name the limits, as they stand for such a request."""
        caller = connection.scope.get("state", {}).get("caller")
        user_id = "" if caller is None else caller.user_id
        bare = _bare(user_id, self._charged.get(path, ""), client_of(connection))
        return await self._turns.headroom(bare)

    @property
    def headers(self) -> AnswerHeaders:
        """The headers for every answer below the path."""

        async def of(scope: Scope) -> dict[str, str]:
            return await self.left(HTTPConnection(scope), scope["path"])

        return AnswerHeaders(f"{ROOT}/", LIMIT, of)


@lru_cache(maxsize=1_024)
def _bare(user_id: str, charged: str, address: str) -> TurnRequest:
    return TurnRequest("", "", user_id, "", kind="content", charged=charged, address=address)
