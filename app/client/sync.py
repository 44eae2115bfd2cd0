"""The client for code without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from app.client.client import Client
from app.core.wire import TurnEvent


class SyncClient(AbstractContextManager["SyncClient"]):
    """Takes what `Client` takes. Of one thread, in which no event loop runs."""

    def __init__(self, base_url: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = Client(base_url, **options)
        self._reading: list[AsyncGenerator[TurnEvent, None]] = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Also what is still being read: nothing of it can be closed afterwards."""
        while self._reading:
            self._runner.run(self._reading.pop().aclose())
        self._runner.run(self._client.aclose())
        self._runner.close()

    def turn(self, character_id: str, action: str, **options: Any) -> Iterator[TurnEvent]:
        """See `Client.turn`."""
        return self._each(self._client.turn(character_id, action, **options))

    def events(self, turn_id: str, after: int = 0) -> Iterator[TurnEvent]:
        """See `Client.events`."""
        return self._each(self._client.events(turn_id, after))

    def follow(self, character_id: str, last_event_id: str = "") -> Iterator[TurnEvent]:
        """See `Client.follow`."""
        return self._each(self._client.follow(character_id, last_event_id))

    def play(self, character_id: str, action: str, **options: Any) -> Any:
        """See `Client.play`."""
        return self._runner.run(self._client.play(character_id, action, **options))

    def get_turn(self, turn_id: str) -> Any:
        """See `Client.get_turn`."""
        return self._runner.run(self._client.get_turn(turn_id))

    def cancel(self, turn_id: str) -> None:
        """See `Client.cancel`."""
        self._runner.run(self._client.cancel(turn_id))

    def commit(self, turn_id: str) -> None:
        """See `Client.commit`."""
        self._runner.run(self._client.commit(turn_id))

    def retell(self, turn_id: str, guidance: str | None = None) -> None:
        """See `Client.retell`."""
        self._runner.run(self._client.retell(turn_id, guidance))

    def create_character(self, name: str, race: str, class_name: str, **options: Any) -> Any:
        """See `Client.create_character`."""
        made = self._client.create_character(name, race, class_name, **options)
        return self._runner.run(made)

    def characters(self) -> list[Any]:
        """See `Client.characters`."""
        return self._runner.run(self._client.characters())

    def history(self, character_id: str, **options: Any) -> Any:
        """See `Client.history`."""
        return self._runner.run(self._client.history(character_id, **options))

    def _each(self, events: AsyncGenerator[TurnEvent, None]) -> Iterator[TurnEvent]:
        async def following() -> TurnEvent | None:
            return await anext(events, None)

        self._reading.append(events)
        try:
            while (event := self._runner.run(following())) is not None:
                yield event
        finally:
            if events in self._reading:
                self._reading.remove(events)
                self._runner.run(events.aclose())
