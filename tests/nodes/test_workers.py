"""Several workers on one port."""

from __future__ import annotations

import http.client
import os
import re
import signal
from pathlib import Path

import pytest
from app.telemetry.workers import joined

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from processes import Process, running
from waiting import eventually


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def workers_measured(port: int) -> set[str]:
    return set(re.findall(r'dungeon_master_turns_running\{worker="(\d)"', get(port, "/metrics")[1]))


def children(process: Process) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def test_workers_serve_one_port_and_are_started_again(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    environment = {
        "STORE_URL": SERVERS.postgres.url(),
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": "sk-test-key",
        "JOURNEY_LOG_BASE_URL": journey_log.url,
        "WORKERS": "2",
    }
    with running(tmp_path, **environment) as process:
        port = process.port()
        eventually(lambda: workers_measured(port) == {"0", "1"})
        first, second = children(process)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(children(process)) == 2 and first not in children(process))
        eventually(lambda: workers_measured(port) == {"0", "1"})
        assert second in children(process)
        assert process.stop() == 0
        assert children_left(first, second) == []


def children_left(*pids: int) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_workers_need_postgresql(tmp_path: Path) -> None:
    process = Process(tmp_path, "serve", WORKERS="2", PORT="0")
    assert process.exit_code() == 2
    assert process.text == (
        "dungeon-master: WORKERS: more than one needs a journal that processes can share; set"
        " STORE_URL=postgresql://…"
    )


@pytest.mark.parametrize("end", [b"", b"# EOF\n"])
def test_metrics_of_workers_are_joined_family_by_family(end: bytes) -> None:
    def body(value: int) -> bytes:
        return (
            b"# HELP a About a.\n# TYPE a counter\n"
            b'a_total{x="1"} %d\na_total{x="2"} 0 # {trace="t"} 1\n'
            b"# HELP b About b.\n# TYPE b gauge\nb %d.0\n" % (value, value)
        ) + end

    assert joined({"0": body(1), "1": body(2)}) == (
        b"# HELP a About a.\n# TYPE a counter\n"
        b'a_total{worker="0",x="1"} 1\na_total{worker="0",x="2"} 0 # {trace="t"} 1\n'
        b'a_total{worker="1",x="1"} 2\na_total{worker="1",x="2"} 0 # {trace="t"} 1\n'
        b'# HELP b About b.\n# TYPE b gauge\nb{worker="0"} 1.0\nb{worker="1"} 2.0\n' + end
    )
