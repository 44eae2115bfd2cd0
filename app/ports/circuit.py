"""Upstreams behind a circuit breaker."""

from __future__ import annotations

from typing import Protocol

from app.core.breaker import CircuitState


class Guarded(Protocol):
    @property
    def circuit(self) -> CircuitState:
        """Whether calls are let through right now."""
        ...
