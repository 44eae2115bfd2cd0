"""Readers of a table on another node than its turn's, when that node is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from remote import Remote, environment, remote
from serving import Live, Reply, aside, payload
from tabling import NARRATIVE, RESPONSE, Guest, hear, hear_until, script_of

QUIET = {"QUEST_TRIGGER_PROB": "0", "POI_TRIGGER_PROB": "0"}


@contextmanager
def nodes(
    directory: Path, model: FakeModel, journey_log: FakeJourneyLog, *, on_redis: bool
) -> Iterator[tuple[Remote, Remote]]:
    settings = environment(model, journey_log, **QUIET, STORE_URL=SERVERS.postgres.url())
    if on_redis:
        settings["REDIS_URL"] = SERVERS.redis.url
    with ExitStack() as stack:
        started = []
        for name in ("here", "there"):
            (directory / name).mkdir()
            started.append(stack.enter_context(remote(directory / name, settings)))
        yield started[0], started[1]


def acted(guest: Guest, table: int, action: str) -> Reply | None:
    """None: the server died meanwhile."""
    with suppress(OSError, HTTPException):
        return guest.acts(table, action)
    return None


def resumed(guest: Guest, table: int, last: bytes) -> list[bytes]:
    """What there is by now behind that event."""
    given = last.split(b"\n")[0].removeprefix(b"id: ").decode()
    with guest.follows(table, Last_Event_ID=given) as stream:
        stream.until("metadata", phase="live")
        return stream.seen.frames


def all_read_on(streams: list[Live], kind: str, **fields: str) -> None:
    for stream in streams:
        stream.until(kind, **fields)


@pytest.mark.parametrize("on_redis", [False, True])
@pytest.mark.parametrize("moment", ["narrative", "awaiting_commit", "retelling"])
def test_readers_go_on_when_the_node_of_the_turn_is_killed(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, moment: str, on_redis: bool
) -> None:
    model.default, gate = script_of(), threading.Event()
    held = Script(model.default.text, gate=gate, gate_after=6)
    manual = moment != "narrative"
    with nodes(tmp_path, model, journey_log, on_redis=on_redis) as (here, there), ExitStack() as on:
        owner, mara = Guest(here, "olga"), Guest(there, "mara")
        table = owner.opens(join="open", commit="manual" if manual else "auto")
        assert mara.joins(table).status == 200
        streams = [on.enter_context(mara.follows(table)) for _ in range(3)]
        socket = on.enter_context(mara.socket(f"/ws/{table}"))
        all_read_on(streams, "metadata", phase="live")
        if moment == "narrative":
            model.then(held)
        acting = aside(acted, owner, table, "one")
        if manual:
            all_read_on(streams, "metadata", phase="awaiting_commit")
        if moment == "retelling":
            model.then(held)
            assert mara.call("POST", f"/{table}/retell", {}).status == 202
            all_read_on(streams, "metadata", phase="retelling")
        if moment != "awaiting_commit":
            all_read_on(streams, "token")
        here.process.kill()
        gate.set()
        acting.result(60)
        if moment == "narrative":
            all_read_on(streams, "error", error_type="interrupted")
        else:
            if moment == "retelling":
                all_read_on(streams, "metadata", phase="awaiting_commit")
            there.wait_for(lambda: mara.call("POST", f"/{table}/commit").status == 202, 60)
            all_read_on(streams, "complete")
        again = aside(mara.acts, table, "two")
        if manual:
            assert again.result(60).status == 202
            there.wait_for(lambda: mara.call("POST", f"/{table}/commit").status == 202, 60)
        all_read_on(streams, "complete")
        whole = [stream.seen.frames for stream in streams]
        assert whole[0] == whole[1] == whole[2]
        with mara.follows(table) as late:
            late.until("metadata", phase="live")
            kept = late.seen.frames
        lost = set(map(payload, whole[0])) - set(map(payload, kept))
        assert [one for one in whole[0] if payload(one) not in lost] == kept
        assert len(lost) < len(kept)
        for cut, frame in enumerate(whole[0], start=1):
            rest = [one for one in whole[0][cut:] if payload(one) not in lost]
            assert resumed(mara, table, frame) == rest, frame
        while hear(socket).get("content") != "two":
            pass
        assert hear_until(socket, "stream_end")[-1]["full_content"] == f"{NARRATIVE}\n\n{RESPONSE}"
