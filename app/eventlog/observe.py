"""Observations of readers for telemetry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReaderOpened:
    transport: str


@dataclass(frozen=True, slots=True)
class ReaderClosed:
    """`disconnected`: the client left before the last event. `seen`: its last sequence number."""

    transport: str
    turn_id: str
    seen: int
    disconnected: bool
