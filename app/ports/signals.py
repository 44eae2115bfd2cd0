"""Signals between processes on the same journal, so that nobody has to poll it.

A signal is a hint: it may be lost or come twice. What it stands for is in the journal.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

SignalKind = Literal[
    "admitted",
    "freed",
    "promoted",
    "cancelling",
    "decided",
    "orphaned",
    "table",
    "seat",
    "room",
    "event",
    "members",
    "left",
]
"""admitted: a turn of the character that the key stands for. freed: the exclusive key it stands for.
promoted, cancelling, decided: the turn with that id. orphaned: there may be turns to adopt. table:
something has happened at the table with that number. seat: its human dungeon master has joined or left in
the process that says so (`1:joined`: table, what). members:
others are connected to the table with that number than before. event: there is one for other
services, of the user that the key stands for. room: an event for those who are connected to a table
(`1:…`: table, the event as JSON in base64). left: a client without a user id has closed a socket of the
table with that number."""


class Signal(NamedTuple):
    kind: SignalKind
    key: str = ""


Receiver = Callable[[Signal], None]
OnGap = Callable[[], None]


class Signals(Protocol):
    def send(self, signal: Signal) -> None:
        """Let all other processes know, soon."""
        ...

    def receive(self, receiver: Receiver, on_gap: OnGap | None = None) -> None:
        """Call `receiver` with every signal of others from now on, and `on_gap` when some may have been
        missed. They must not raise and not wait."""
        ...


def key_of(*names: str) -> str:
    """A short key that stands for names of any length."""
    digest = blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=9).digest()
    return urlsafe_b64encode(digest).decode("ascii")


class NoSignals:
    """Signals of a process that has its journal for itself."""

    def send(self, signal: Signal) -> None:
        pass

    def receive(self, receiver: Receiver, on_gap: OnGap | None = None) -> None:
        pass
