"""The services of the compose file as plain processes: two nodes behind nginx."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import pytest
from tools.nodes import NODES, OPTIONAL, Topology, services, started, topology

from fakes.model import FakeModel, Script
from installed import required
from processes import Forked, interpreter
from remote import At
from serving import TIMEOUT, turn_body

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def model() -> Iterator[FakeModel]:
    with FakeModel() as made:
        yield made


@pytest.fixture(scope="module")
def running(model: FakeModel) -> Iterator[Topology]:
    variables = {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "sk-test-key"}
    with pytest.MonkeyPatch.context() as patch, required():
        patch.setattr("tools.nodes.started", forked)
        with topology(variables, watched=False) as made:
            yield made


def forked(
    command: list[str], folder: Path, environment: Mapping[str, str], out: BinaryIO
) -> Forked | subprocess.Popen[bytes]:
    """Those of Python are forked: to start them is most of what they cost."""
    name, *arguments = command
    if name != sys.executable:
        return started(command, folder, environment, out)
    return Forked(folder, arguments, environment, out.fileno(), out.fileno(), interpreter)


@pytest.fixture(scope="module")
def front(running: Topology) -> At:
    return At(running.ports["nginx:80"])


def made_character(front: At) -> str:
    """A user may make two a second."""
    body = {"name": f"Ann {next(_NUMBERS)}", "race": "Elf", "class_name": "Bard"}
    while (made := front.call("POST", "/characters", body)).status == 429:
        time.sleep(float(made.error["retry_after_seconds"]))
    assert made.status == 201, made.body
    return str(made.json()["character_id"])


@pytest.fixture
def character(front: At) -> str:
    return made_character(front)


def test_topology_has_every_service_of_the_compose_file(running: Topology) -> None:
    started = {address.partition(":")[0] for address in running.ports}
    assert started == services().keys() - set(OPTIONAL)
    for address, path in (("journey-log:8080", "/health"), ("node-a:8080", "/live")):
        assert At(running.ports[address]).call("GET", path).status == 200


def test_turn_begun_through_the_proxy_is_resumed_on_either_node(
    running: Topology, front: At, model: FakeModel, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    nodes = [At(running.ports[f"{name}:8080"]) for name in NODES]
    with front.live(character) as live:
        live.until("token")
        seen = len(live.seen.frames)
        cursor = f"{live.turn_id}:{seen}"
        with (
            nodes[0].events(live.turn_id, Last_Event_ID=cursor) as one,
            nodes[1].events(live.turn_id, Last_Event_ID=cursor) as other,
        ):
            gate.set()
            frames = live.rest().frames
            assert one.rest().frames == other.rest().frames == frames[seen:]
    assert live.seen.last["type"] == "complete"
    assert front.call("GET", "/metrics").status == 404


def test_turn_is_played_on_a_websocket_through_the_proxy(front: At, character: str) -> None:
    with front.socket() as client:
        client.send(json.dumps(turn_body(character)))
        kinds = [json.loads(client.recv(TIMEOUT))["type"]]
        while kinds[-1] not in ("complete", "error"):
            kinds.append(json.loads(client.recv(TIMEOUT))["type"])
    assert "token" in kinds
    assert kinds[-1] == "complete"


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_proxy_speaks_http_2_to_browsers_and_http_1_to_websockets(
    running: Topology, protocol: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    address = ("127.0.0.1", running.ports["nginx:443"])
    with (
        socket.create_connection(address, TIMEOUT) as plain,
        context.wrap_socket(plain) as secure,
    ):
        assert secure.selected_alpn_protocol() == protocol
        shown = secure.getpeercert(binary_form=True)
    prepared = (running.folder("nginx") / "tls/certificate.pem").read_text()
    assert shown == ssl.PEM_cert_to_DER_cert(prepared)


def test_players_go_on_when_a_node_is_killed(
    running: Topology, front: At, model: FakeModel, character: str
) -> None:
    """The last test: the other ones need both nodes."""
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with front.live(character) as live:
        live.until("token")
        running.stop(NODES[0], signal.SIGKILL)
        gate.set()
        for _ in range(2):  # nginx knows neither of them to be dead
            ended = front.stream("GET", f"/turns/{live.turn_id}/events").last
            assert ended["type"] in ("complete", "error")
    assert front.turn(made_character(front)).last["type"] == "complete"
