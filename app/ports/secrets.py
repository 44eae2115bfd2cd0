"""Random values that outlive a restart."""

from __future__ import annotations

from typing import Protocol


class Secrets(Protocol):
    def secret(self, name: str) -> str:
        """The random value of that name, drawn once. Blocking: for the start of the service."""
        ...
