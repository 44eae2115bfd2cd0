"""Turns in other dialects over a real socket: the query, headers, resuming, ends of streams."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fakes.model import FakeModel, Script
from serving import RETRY, Served, frame_event, refused, turn_body

Serve = Callable[..., Served]
OTHERS = ["ag-ui", "ai-sdk", "openai"]
every_dialect = pytest.mark.parametrize("dialect", OTHERS)


def data_of(body: bytes) -> list[dict[str, Any]]:
    blocks = [it for it in body.removeprefix(RETRY).split(b"\n\n") if b"data: {" in it]
    return [frame_event(block) for block in blocks]


def text_of(body: bytes) -> str:
    text = ""
    for one in data_of(body):
        text += one.get("delta") or "" if one.get("type") else ""
        for choice in one.get("choices", []):
            text += choice["delta"].get("content", "")
    return text


@every_dialect
def test_turn_is_streamed_in_the_dialect_that_the_query_names(
    service: Served, character: str, dialect: str
) -> None:
    path = f"/turn/stream?dialect={dialect}"
    first = service.stream("POST", path, turn_body(character))
    assert (first.status, first.header("cache-control")) == (200, "no-store, no-transform")
    assert first.header("location") == f"/turns/{first.turn_id}/events?dialect={dialect}"
    assert (first.header("x-vercel-ai-ui-message-stream") == "v1") == (dialect == "ai-sdk")
    stored = service.call("GET", f"/turns/{first.turn_id}").json()
    assert text_of(first.body) == stored["narrative"]
    assert first.body.endswith(b"data: [DONE]\n\n") == (dialect != "ag-ui")
    again = service.stream("GET", first.header("location") or "")
    assert data_of(again.body) == data_of(first.body)
    if dialect == "openai":
        assert b"\nid: " in again.body
        assert not {line.split(b":")[0] for line in first.body.split(b"\n")} - {b"data", b""}
    else:
        assert again.body == first.body


@every_dialect
def test_a_stream_is_resumed_behind_any_id(service: Served, character: str, dialect: str) -> None:
    turn_id = service.turn(character).turn_id
    path = f"/turns/{turn_id}/events?dialect={dialect}"
    whole = service.stream("GET", path).body.removeprefix(RETRY)
    blocks = [block + b"\n\n" for block in whole.split(b"\n\n")[:-1]]
    for place, block in enumerate(blocks[:-1]):
        if not block.startswith(b"id: "):
            continue
        event_id = block.split(b"\n")[0][4:].decode()
        rest = service.stream("GET", path, Last_Event_ID=event_id)
        assert rest.body.removeprefix(RETRY) == b"".join(blocks[place + 1 :]) or rest.status == 204


@pytest.mark.parametrize("path", ["/turn/stream", "/turns/x/events", "/characters/x/events"])
def test_an_unknown_dialect_is_refused_by_name(service: Served, character: str, path: str) -> None:
    method = "POST" if path == "/turn/stream" else "GET"
    body = turn_body(character) if method == "POST" else None
    problem = refused(service.call(method, f"{path}?dialect=latin", body), 422, "validation_error")
    assert "native, ag-ui, ai-sdk, openai, gaia, rpg" in problem["detail"]


@pytest.mark.parametrize(
    ("dialect", "text", "last"),
    [("gaia", "narrative_chunk", "campaign_updated"), ("rpg", "stream", "stream_end")],
)
def test_a_turn_is_told_to_the_clients_of_older_systems(
    service: Served, character: str, dialect: str, text: str, last: str
) -> None:
    first = service.stream("POST", f"/turn/stream?dialect={dialect}", turn_body(character))
    messages = data_of(first.body)
    stored = service.call("GET", f"/turns/{first.turn_id}").json()
    assert "".join(one["content"] for one in messages if one["type"] == text) == stored["narrative"]
    assert messages[-1]["type"] == last
    assert first.header("location") == f"/turns/{first.turn_id}/events?dialect={dialect}"
    again = service.stream("GET", first.header("location") or "")
    assert again.body == first.body
    ids = [line[4:].decode() for line in again.body.split(b"\n") if line.startswith(b"id: ")]
    rest = service.stream("GET", first.header("location") or "", Last_Event_ID=ids[2])
    assert again.body.endswith(rest.body)
    assert rest.body.count(b"id: ") == len(ids) - 3
    at_end = service.stream("GET", first.header("location") or "", Last_Event_ID=ids[-1])
    assert at_end.status == 204


@every_dialect
def test_the_turns_of_a_character_come_one_after_another(
    service: Served, character: str, dialect: str
) -> None:
    path = f"/characters/{character}/events?dialect={dialect}"
    with service.open("GET", path) as response:
        first = response.readline() + response.readline()
        assert first == b": live\n\n"
        expected = begin = b"" if dialect == "openai" else RETRY
        for action in ("I knock.", "I wait."):
            turn = service.turn(character, action)
            replay = service.stream("GET", f"/turns/{turn.turn_id}/events?dialect={dialect}")
            expected += replay.body.removeprefix(RETRY).removesuffix(b"data: [DONE]\n\n")
        assert response.read(len(expected)) == expected
    ids = [line for line in expected.split(b"\n") if line.startswith(b"id: ")]
    middle = ids[len(ids) // 4]
    rest = begin + expected.partition(middle + b"\n")[2].partition(b"\n\n")[2]
    with service.open("GET", path, Last_Event_ID=middle[4:].decode()) as response:
        assert response.read(len(rest)) == rest


def send_readers_away(service: Served) -> None:
    """As at shutdown."""
    assert service.loop is not None
    service.loop.call_soon_threadsafe(service.application.send_readers_away)


def cut_stream(service: Served, path: str, version: str) -> tuple[bytes, bool]:
    """What a plain socket reads when the service sends its readers away, and whether it was reset."""
    with socket.create_connection(("127.0.0.1", service.port), 20) as connection:
        request = f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n"
        connection.sendall(request.encode())
        read = b""
        while b"Rain" not in read:
            read += connection.recv(65_536)
        send_readers_away(service)
        try:
            while piece := connection.recv(65_536):
                read += piece
                if read.endswith(b"0\r\n\r\n"):
                    return read, False
        except ConnectionResetError:
            return read, True
        return read, False


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@every_dialect
def test_a_stream_without_an_end_is_seen_to_be_broken(
    service: Served, model: FakeModel, character: str, dialect: str, version: str
) -> None:
    gate = threading.Event()
    pieces = ['{"narrative": "', "Rain", " drums.", '", "intents": {}}']
    model.then(Script(pieces=pieces, gate=gate, gate_after=2))
    with service.live(character) as live:
        live.until("token")
        path = f"/turns/{live.turn_id}/events?dialect={dialect}"
        read, reset = cut_stream(service, path, version)
    gate.set()
    if dialect == "openai":
        assert json.loads(read.partition(b'data: {"error"')[1][6:] + b":0}") == {"error": 0}
        assert b"[DONE]" not in read
        assert version == "1.0" or read.endswith(b"0\r\n\r\n")
    else:
        assert not read.endswith(b"0\r\n\r\n")
        assert reset == (version == "1.0")


def test_http_clients_raise_for_a_stream_without_an_end(
    service: Served, model: FakeModel, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character) as live:
        live.until("token")
        with service.open("GET", f"/turns/{live.turn_id}/events?dialect=ag-ui") as response:
            response.readline()
            send_readers_away(service)
            with pytest.raises(http.client.IncompleteRead):
                response.read()
    gate.set()
