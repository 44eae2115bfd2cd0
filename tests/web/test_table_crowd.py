"""Many tables with many players at once: everybody reads the same story, whole and in one order."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import connect

from fakes.model import FakeModel
from serving import TIMEOUT, Served
from tabling import RESPONSE, Guest, party, script_of

TABLES, PLAYERS, DEEDS = 4, 8, 3
NAMES = [f"player{n}" for n in range(PLAYERS)]


class Seat:
    """One player's socket: acts `deeds` times, one after another, and keeps all that it reads."""

    def __init__(self, service: Served, table: int, name: str) -> None:
        self._address = f"ws://{service.host}/ws/{table}"
        self._name = name
        self.heard: list[dict[str, Any]] = []

    def _seated(self) -> connect:
        """Without a bound for what is unread, see `serving.dialled`."""
        names = {"X-User-Id": self._name}
        return connect(self._address, additional_headers=names, max_queue=None)

    async def play(self, deeds: int, turns: int, seated: asyncio.Barrier) -> None:
        """`seated`: nobody acts before all are at their tables, so that all hear everything."""
        async with self._seated() as ws:
            self.heard.append(json.loads(await ws.recv()))
            await seated.wait()
            done = ended = 0
            await self._act(ws, done)
            while ended < turns:
                message = json.loads(await asyncio.wait_for(ws.recv(), TIMEOUT))
                self.heard.append(message)
                ended += message["type"] == "stream_end"
                if message["type"] == "token_usage":
                    done += 1
                    if done < deeds:
                        await self._act(ws, done)

    async def leave(self) -> None:
        """Come, and be gone without a word, in the middle of everything."""
        async with self._seated() as ws:
            ws.transport.abort()

    async def _act(self, ws: Any, number: int) -> None:
        deed = {"sender": self._name.title(), "content": f"{self._name} does {number}"}
        await ws.send(json.dumps(deed))

    def contents(self) -> list[str]:
        """The story as it was streamed, turn by turn; each end is checked against its pieces."""
        found, pieces = [], ""
        for message in self.heard:
            if message["type"] == "stream":
                pieces += message["content"]
            elif message["type"] == "stream_end":
                assert message["full_content"] == pieces
                found.append(pieces)
                pieces = ""
        return found

    def said(self) -> list[str]:
        return [one["content"] for one in self.heard if one["type"] == "message"]


async def crowd(service: Served, tables: list[int]) -> list[list[Seat]]:
    rooms = [[Seat(service, table, name) for name in NAMES] for table in tables]
    turns = PLAYERS * DEEDS
    seated = asyncio.Barrier(len(tables) * PLAYERS)
    leaving = [Seat(service, table, NAMES[0]).leave() for table in tables]
    playing = [seat.play(DEEDS, turns, seated) for room in rooms for seat in room]
    await asyncio.gather(*leaving, *playing)
    return rooms


def test_everybody_reads_the_same_whole_story(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    numbers = itertools.count()
    model.default = lambda _: script_of(narrative=f"It happens, {next(numbers)}. Nobody speaks.")
    service = serve(table_requests_per_minute=0, table_token_budget=0)
    tables = [party(service, *NAMES)[0] for _ in range(TABLES)]
    for table, room in zip(tables, asyncio.run(crowd(service, tables)), strict=True):
        story = room[0].contents()
        assert len(story) == len(set(story)) == PLAYERS * DEEDS
        for seat in room:
            assert seat.contents() == story
            assert seat.said()[-1:] == room[0].said()[-1:]
            assert set(seat.said()) == {f"{n} does {k}" for n in NAMES for k in range(DEEDS)}
        kept = [
            row["content"]
            for row in Guest(service, NAMES[0]).call("GET", f"/{table}/messages?limit=100").json()
            if row["message_type"] == "dm"
        ]
        assert kept == story
        assert all(one.endswith(RESPONSE) for one in story)
