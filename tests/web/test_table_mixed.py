"""One table over everything that it is served over: one story for all, and to each what is theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import pytest

from fakes.model import FakeModel, Script
from serving import Live, Served
from tabling import RESPONSE, Guest, hear, hear_until, party, script_of

TURNS: Final = 3
WORDS: Final = [f"It happens, {number}. Nobody speaks." for number in range(TURNS + 1)]


class Table(NamedTuple):
    """Every reader has come before the first turn."""

    number: int
    guests: list[Guest]
    streams: dict[str, Live]
    sockets: list[Any]
    campaign: dict[str, Any]

    def say(self, guest: Guest, words: str) -> None:
        said = {"sender_name": guest.name.title(), "content": words}
        assert guest.call("POST", f"/{self.number}/messages", said).status == 200

    def whisper(self, words: str) -> None:
        said = {"user_id": "mara", "content": words}
        assert self.guests[0].call("POST", f"/{self.number}/whisper", said).status == 200


@pytest.fixture
def table(service: Served, model: FakeModel) -> Iterator[Table]:
    number, guests = party(service, "olga", "mara", "otto", "finn")
    olga, mara, otto, _ = guests
    with ExitStack() as stack:
        streams = {one.name: stack.enter_context(one.follows(number)) for one in guests}
        sockets = [stack.enter_context(one.socket(f"/ws/{number}")) for one in (olga, mara, mara)]
        campaign = {}
        for guest, role in ((olga, "dm"), (otto, "player")):
            path = f"/ws/campaign/{role}?session_id={number}"
            ws = campaign[role] = stack.enter_context(guest.socket(path))
            ws.send(json.dumps({"type": "auth", "token": "none"}))
            hear_until(ws, "campaign_active")
        for stream in streams.values():
            stream.until("metadata", phase="live")
        for ws in sockets:
            assert [hear(ws)["type"] for _ in range(2)] == ["system", "system"]
        yield Table(number, guests, streams, sockets, campaign)


def shown(stream: Live) -> list[bytes]:
    """What has a number: who comes and goes is shown to those who are there."""
    return [frame for frame in stream.seen.frames if frame.startswith(b"id: ")]


def data(frame: bytes) -> bytes:
    """Without its id. Frames are compared in any order where a turn fails: a line that follows such a turn
    comes before it to whoever finds both at once."""
    return frame.partition(b"\n")[2]


def test_everybody_reads_the_same_story_over_whatever_it_is_served(
    table: Table, model: FakeModel
) -> None:
    olga, mara, otto, finn = table.guests
    for number, guest in enumerate((olga, mara, otto)):
        model.then(script_of(narrative=WORDS[number]))
        table.say(guest, f"words {number}")
        table.whisper(f"whispered {number}")
        assert guest.acts(table.number, f"deed+{number}").status == 200
    model.default = Script(status=400)
    assert mara.acts(table.number, "fails").status >= 400
    model.default = script_of(narrative=WORDS[TURNS])
    assert otto.acts(table.number, "deed+3").status == 200
    table.say(finn, "the end")
    for stream in table.streams.values():
        stream.until("message", content="the end")
    otto_saw, finn_saw = (sorted(map(data, shown(table.streams[one]))) for one in ("otto", "finn"))
    assert otto_saw == finn_saw
    whispered = [b"whispered" in frame for frame in shown(table.streams["mara"])]
    assert sum(whispered) == TURNS
    assert not any(b"whispered" in frame for frame in shown(table.streams["otto"]))
    others = [frame for frame in shown(table.streams["mara"]) if b"whispered" not in frame]
    assert sorted(map(data, others)) == sorted(map(data, shown(table.streams["otto"])))
    for stream in table.streams.values():
        assert len(stream.seen.of("complete")) == len(WORDS)
        pieces = "".join(event["content"] for event in stream.seen.of("token"))
        assert pieces == "".join(words + RESPONSE for words in WORDS)
    for ws in table.sockets:
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1].get("content") != "the end":
            heard.append(hear(ws))
        ends = [one["full_content"] for one in heard if one["type"] == "stream_end"]
        assert [one.partition("\n\n")[0] for one in ends if one] == WORDS
    for ws in table.campaign.values():
        chunks: list[str] = []
        while len("".join(chunks)) < len("".join(WORDS)):
            chunks += [one["content"] for one in hear_until(ws, "narrative_chunk")[-1:]]
        assert "".join(chunks) == "".join(WORDS)
    seen = shown(table.streams["finn"])
    for cut in range(
        1, len(seen) + 1
    ):  # a line that came behind a failed turn comes before it later
        last = seen[cut - 1].split(b"\n")[0].removeprefix(b"id: ").decode()
        with finn.follows(table.number, Last_Event_ID=last) as stream:
            stream.until("metadata", phase="live")
            assert sorted(map(data, shown(stream))) == sorted(map(data, seen[cut:]))


def test_whoever_is_removed_reads_no_further_and_nobody_else_notices(
    table: Table, model: FakeModel
) -> None:
    olga, mara, *_ = table.guests
    model.default = script_of(narrative=WORDS[0])
    assert mara.acts(table.number, "deed").status == 200
    assert olga.call("DELETE", f"/{table.number}/members/finn").status == 204
    assert mara.acts(table.number, "deed+2").status == 200
    for name in ("olga", "mara", "otto"):
        stream = table.streams[name]
        for _ in range(2):
            stream.until("complete")
        assert len(stream.seen.of("complete")) == 2
    assert len(table.streams["finn"].rest().of("complete")) == 1
