"""Behind each event of a table's stream, every node has the bytes of a reader who was never cut."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from databases import SERVERS
from fakes.model import FakeModel, Script
from serving import TIMEOUT, Live, Served, aside, payload
from tabling import Guest, script_of

Nodes = tuple[Served, Served]


@pytest.fixture(params=[False, True], ids=["postgres", "redis"])
def nodes(request: pytest.FixtureRequest, serve: Callable[..., Served], model: FakeModel) -> Nodes:
    model.default = script_of()
    redis = SERVERS.redis.url if request.param else None
    settings = {"store_url": SERVERS.postgres.url(), "redis_url": redis}
    return serve(**settings), serve(**settings)


class Evening:
    """Turns with every ending, which the streams follow."""

    def __init__(self, owner: Guest, player: Guest, table: int, model: FakeModel) -> None:
        self.owner, self.player, self.table, self.model = owner, player, table, model
        self.streams: list[Live] = []

    def all_read(self, kind: str, **fields: Any) -> None:
        for stream in self.streams:
            stream.until(kind, **fields)

    def ruled(self, **rules: Any) -> None:
        assert self.owner.call("PUT", f"/{self.table}", rules).status == 200

    def says(self, words: str) -> None:
        line = {"sender_name": "Olga", "content": words}
        assert self.owner.call("POST", f"/{self.table}/messages", line).status == 200

    def completes(self) -> None:
        assert self.player.acts(self.table, "one").status == 200
        self.all_read("complete")

    def fails(self) -> None:
        self.model.then(Script("no JSON at all"), Script("still none"))
        assert self.owner.acts(self.table, "two").status == 502
        self.all_read("error")

    def is_cancelled(self) -> None:
        gate = threading.Event()
        self.model.then(Script(script_of().text, gate=gate, gate_after=6))
        acting = aside(self.player.acts, self.table, "three")
        self.all_read("token")
        self.says("Hm.")
        self.all_read("message", content="Hm.")
        assert self.owner.call("POST", f"/{self.table}/x_card", {}).status == 200
        gate.set()
        assert acting.result(TIMEOUT).status == 409
        self.all_read("cancelled")

    def is_regenerated(self) -> None:
        self.ruled(commit="manual")
        assert self.player.acts(self.table, "four").status == 202
        self.all_read("metadata", phase="awaiting_commit")
        self.model.then(script_of(narrative="Again."))
        assert self.player.call("POST", f"/{self.table}/retell", {}).status == 202
        self.all_read("metadata", phase="awaiting_commit")
        assert self.player.call("POST", f"/{self.table}/commit").status == 202
        self.all_read("complete")
        self.ruled(commit="auto")

    def is_approved(self) -> None:
        self.ruled(approval_seconds=600)
        acting = aside(self.player.acts, self.table, "five")
        self.all_read("metadata", phase="approval")
        edit = {"narrative": "The door stays shut."}
        self.owner.service.wait_for(
            lambda: self.owner.call("POST", f"/{self.table}/approval", edit).status == 202
        )
        assert acting.result(TIMEOUT).status == 200
        self.all_read("complete")


def told(frames: list[bytes]) -> list[bytes]:
    """The events of turns."""
    return [payload(frame) for frame in frames if b'"type":"message"' not in frame]


def last_said_in_a_turn(frames: list[bytes]) -> int:
    """The place of the last line that was said while a turn ran, or of that turn's end."""
    marks = b'"Hm."', b"X card", b'"type":"cancelled"'
    return max(place for place, frame in enumerate(frames) if any(mark in frame for mark in marks))


def resumed(guest: Guest, table: int, last: bytes) -> list[bytes]:
    given = last.split(b"\n")[0].removeprefix(b"id: ").decode()
    with guest.follows(table, Last_Event_ID=given) as stream:
        stream.until("metadata", phase="live")
        return stream.seen.frames


def test_every_event_is_a_place_to_come_back_to_on_each_node(
    nodes: Nodes, model: FakeModel
) -> None:
    readers = [[Guest(node, name) for node in nodes] for name in ("olga", "mara")]
    (owner, _), (mara, player) = readers
    table = owner.opens(join="open", requests_per_minute=0)
    assert mara.joins(table).status == 200
    evening = Evening(owner, player, table, model)
    with ExitStack() as streams:
        for guest in [guest for pair in readers for guest in pair]:
            stream = streams.enter_context(guest.follows(table))
            stream.until("metadata", phase="live")
            evening.streams.append(stream)
        evening.completes()
        evening.says("Between.")
        evening.fails()
        evening.is_cancelled()
        evening.is_regenerated()
        evening.is_approved()
        evening.says("The end.")
        evening.all_read("message", content="The end.")
        whole = [stream.seen.frames for stream in evening.streams]
    for pair, (here, there) in zip(readers, (whole[:2], whole[2:]), strict=True):
        said = max(map(last_said_in_a_turn, (here, there)))
        # a line that is said while a turn runs may come between other events of it on another node
        assert told(here) == told(there)
        assert sorted(map(payload, here)) == sorted(map(payload, there))
        assert here[said + 1 :] == there[said + 1 :]
        for cut, frame in enumerate(here, start=1):
            guest = pair[cut % 2]
            rest = resumed(guest, table, frame)
            assert sorted(map(payload, rest)) == sorted(map(payload, here[cut:]))
            assert told(rest) == told(here[cut:])
            # what was said in a turn comes behind it to those who read both later
            assert rest == here[cut:] or cut <= said, (guest.name, frame)
    hidden = [frame for frame in whole[2] if b'"draft"' in frame or b"lies" in frame]
    assert hidden == []
