"""The port to the hub, which delivers events to other services."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class HubMessage(NamedTuple):
    """One event as it is sent, the same at each attempt. `body` is JSON in ASCII: a CloudEvent in
    structured mode."""

    id: str
    type: str
    subject: str
    body: bytes


class HubUnavailable(Exception):
    """Nothing, or not this event now: the hub will perhaps take it later, or has taken it and not said so.
    `retry_after` in seconds, where it says so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class HubRefused(Exception):
    """The hub will not take this event, as it is."""


class MessageHub(Protocol):
    """`name` is for logs: it holds no secret."""

    name: str

    async def publish(self, message: HubMessage) -> None:
        """Returns once the hub has said that it has the event. What was given up may still arrive, once for
        each attempt: receivers know an event by its id.

        Raises `HubUnavailable` or `HubRefused`.
        """
        ...

    async def aclose(self) -> None: ...
