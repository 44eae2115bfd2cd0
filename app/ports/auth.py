"""Who calls, and how a token is checked."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Caller(NamedTuple):
    """Who makes a request; `scopes` are what the caller's token allows."""

    user_id: str
    scopes: frozenset[str]


class Authenticator(Protocol):
    async def authenticate(self, token: str) -> Caller:
        """Raises `Unauthorized`."""
        ...

    async def aclose(self) -> None: ...
