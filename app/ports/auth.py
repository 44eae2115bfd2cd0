"""The port that verifies tokens."""

from __future__ import annotations

from typing import Protocol

from app.core.access import Caller


class Authenticator(Protocol):
    async def authenticate(self, token: str) -> Caller:
        """Raises `Unauthorized`."""
        ...

    async def aclose(self) -> None: ...
