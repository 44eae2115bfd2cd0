"""The stream of a table as `curl -N` reads it from a process, cut and resumed with `Last-Event-ID`."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from installed import program
from remote import environment, remote
from serving import Live, aside
from tabling import Guest, party, script_of


class Body:
    """What curl writes, as the body of a response."""

    status = 200

    def __init__(self, output: IO[bytes]) -> None:
        self.readline = output.readline

    def getheaders(self) -> list[Any]:
        return []


class Curl(Live):
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(cast(Any, Body(cast(IO[bytes], process.stdout))))
        self._process = process

    def cut(self) -> list[bytes]:
        """The events that have come. Curl is killed wherever it is."""
        self._process.kill()
        return self.rest().frames


@contextmanager
def curl(guest: Guest, table: int, last: str = "") -> Iterator[Curl]:
    """The stream of a table, from behind the event `last`."""
    address = f"{guest.service.url}/api/sessions/{table}/events"
    headers = [f"X-User-Id: {guest.name}", *([f"Last-Event-ID: {last}"] if last else [])]
    sent = [part for header in headers for part in ("-H", header)]
    command = [program("curl"), "-sS", "-N", "--noproxy", "*", "--fail", *sent, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield Curl(process)
        finally:
            process.kill()


def last_of(frames: list[bytes]) -> str:
    return frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()


def to_the_end(reader: Curl) -> list[bytes]:
    reader.until("message", content="The end.")
    return reader.seen.frames


def test_resumed_reader_has_the_bytes_of_one_that_was_never_cut(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default, gate = script_of(), threading.Event()
    model.then(script_of(), Script(model.default.text, gate=gate, gate_after=6))
    with remote(tmp_path, environment(model, journey_log)) as server:
        table, (owner, mara) = party(server, "olga", "mara")
        with curl(mara, table) as uncut, curl(mara, table) as reader, curl(mara, table) as other:
            owner.acts(table, "first")
            owner.call("POST", f"/{table}/messages", {"sender_name": "Olga", "content": "Hm."})
            reader.until("message", content="Hm.")
            begun = {"between turns": reader.cut()}
            acting = aside(owner.acts, table, "second")
            other.until("metadata", phase="start", user_action="second")
            other.until("token")
            begun["in a turn"] = other.cut()
            last = {where: last_of(seen) for where, seen in begun.items()}
            with (
                curl(mara, table, last["between turns"]) as first,
                curl(mara, table, last["in a turn"]) as second,
            ):
                first.until("token")
                second.until("metadata", phase="live")
                gate.set()
                assert acting.result(300).status == 200
                owner.call(
                    "POST", f"/{table}/messages", {"sender_name": "Olga", "content": "The end."}
                )
                resumed = {"between turns": [to_the_end(first)], "in a turn": [to_the_end(second)]}
            for where, behind in last.items():
                with curl(mara, table, behind) as late:
                    resumed[where].append(to_the_end(late))
            whole = to_the_end(uncut)
    for where, seen in begun.items():
        for rest in resumed[where]:
            assert b"".join([*seen, *rest]) == b"".join(whole), where
            assert rest != []
