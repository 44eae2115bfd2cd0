"""`WS /turn/ws`: the same events, one JSON message each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from app.turns import routes as turn_routes
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from fakes.journey_log import FakeJourneyLog, late
from fakes.model import NARRATIVE, FakeModel, Json, Script
from serving import TIMEOUT, Served, payload, turn_body

TERMINAL = {"complete", "error", "cancelled"}


@pytest.fixture
def socket(service: Served) -> Iterator[ClientConnection]:
    with service.socket() as opened:
        yield opened


def say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def hear(socket: ClientConnection) -> str:
    message = socket.recv(timeout=TIMEOUT)
    assert isinstance(message, str)
    return message


def hear_until(socket: ClientConnection, *kinds: str) -> list[str]:
    """All messages up to the first of one of these types."""
    heard = [hear(socket)]
    while json.loads(heard[-1])["type"] not in kinds:
        heard.append(hear(socket))
    return heard


def hear_turn(socket: ClientConnection) -> list[str]:
    return hear_until(socket, *TERMINAL)


def replayed(service: Served, messages: list[str]) -> list[str]:
    """What `GET events` says of the turn that these messages begin."""
    turn_id = json.loads(messages[0])["turn_id"]
    frames = service.stream("GET", f"/turns/{turn_id}/events").frames
    return [payload(frame).decode() for frame in frames]


def story(messages: list[str]) -> str:
    events = [json.loads(message) for message in messages]
    return "".join(event["content"] for event in events if event["type"] == "token")


def test_messages_are_the_payloads_of_the_events(
    service: Served, journey_log: FakeJourneyLog, socket: ClientConnection, character: str
) -> None:
    say(socket, **turn_body(character))
    heard = hear_turn(socket)
    assert heard == replayed(service, heard)
    assert json.loads(heard[-1])["type"] == "complete"
    assert [story(heard)] == journey_log.narratives(character) == [NARRATIVE]


def test_turns_may_follow_one_another(
    service: Served, journey_log: FakeJourneyLog, socket: ClientConnection
) -> None:
    characters = [journey_log.seed_character(), journey_log.seed_character()]
    turns = []
    for character in [*characters, *characters]:
        say(socket, **turn_body(character))
        heard = hear_turn(socket)
        assert heard == replayed(service, heard)
        turns.append(json.loads(heard[0])["turn_id"])
    assert len(set(turns)) == 4


def test_headers_of_the_handshake_count_for_its_turns(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("mara")
    with service.socket(X_User_Id="mara", X_Request_Id="req-7") as socket:
        say(socket, **turn_body(character))
        assert json.loads(hear_turn(socket)[-1])["type"] == "complete"
    seen = {(r.headers["x-user-id"], r.headers["x-request-id"]) for r in journey_log.requests}
    assert seen == {("mara", "req-7")}


@pytest.fixture
def gate(model: FakeModel) -> threading.Event:
    """Holds the model back in the middle of its next narrative."""
    held = threading.Event()
    model.then(Script(gate=held, gate_after=8))
    return held


def test_cancel_stops_the_turn_and_the_socket_goes_on(
    service: Served,
    journey_log: FakeJourneyLog,
    socket: ClientConnection,
    character: str,
    gate: threading.Event,
) -> None:
    say(socket, **turn_body(character))
    heard = hear_until(socket, "token")
    say(socket, type="cancel")
    heard += hear_turn(socket)
    gate.set()
    assert json.loads(heard[-1])["type"] == "cancelled"
    assert heard == replayed(service, heard)
    assert journey_log.writes == []
    say(socket, **turn_body(character))
    assert json.loads(hear_turn(socket)[-1])["type"] == "complete"


def test_cancel_is_heard_while_the_context_is_read(
    model: FakeModel,
    journey_log: FakeJourneyLog,
    socket: ClientConnection,
    character: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_routes, "HEAD_SECONDS", 3600)
    gate = threading.Event()
    journey_log.fail("context", late(gate))
    say(socket, **turn_body(character))
    journey_log.wait_for(lambda: journey_log.requests)
    say(socket, type="cancel")
    assert json.loads(hear_turn(socket)[-1])["type"] == "cancelled"
    gate.set()
    assert model.calls == []


def test_cancel_from_validation_on_is_refused_and_the_turn_goes_on(
    service: Served, journey_log: FakeJourneyLog, socket: ClientConnection, character: str
) -> None:
    gate = threading.Event()
    journey_log.fail("narrative", late(gate))
    say(socket, **turn_body(character))
    heard = hear_until(socket, "metadata")
    while json.loads(heard[-1]).get("phase") != "writes":
        heard += hear_until(socket, "metadata")
    say(socket, type="cancel")
    *between, last = hear_until(socket, "error")
    assert json.loads(last)["error_type"] == "not_cancellable"
    heard += between
    gate.set()
    assert heard + hear_turn(socket) == replayed(service, heard)


@pytest.mark.parametrize("after", [None, -1, 0, 1, 7])
def test_a_finished_turn_is_resumed(
    service: Served, socket: ClientConnection, character: str, after: int | None
) -> None:
    stream = service.turn(character)
    say(
        socket, type="resume", turn_id=stream.turn_id, **({} if after is None else {"after": after})
    )
    wanted = [payload(frame).decode() for frame in stream.frames][max(after or 0, 0) :]
    assert hear_turn(socket) == wanted


def test_resuming_behind_an_event_that_never_was_replays_from_the_start(
    service: Served, socket: ClientConnection, character: str
) -> None:
    stream = service.turn(character)
    say(socket, type="resume", turn_id=stream.turn_id, after=len(stream.frames) + 3)
    assert hear_turn(socket) == [payload(frame).decode() for frame in stream.frames]


def test_a_running_turn_is_resumed_where_the_last_socket_left(
    service: Served, character: str, gate: threading.Event
) -> None:
    with service.socket() as first:
        say(first, **turn_body(character))
        heard = hear_until(first, "token")
    with service.socket() as second:
        turn_id = json.loads(heard[0])["turn_id"]
        say(second, type="resume", turn_id=turn_id, after=len(heard))
        gate.set()
        rest = hear_turn(second)
    assert heard + rest == replayed(service, heard)


def test_a_resumed_turn_can_be_cancelled(
    service: Served, socket: ClientConnection, character: str, gate: threading.Event
) -> None:
    with service.live(character) as live:
        live.until("token")
        say(socket, type="resume", turn_id=live.turn_id, after=0)
        hear_until(socket, "token")
        say(socket, type="cancel")
        assert json.loads(hear_turn(socket)[-1])["type"] == "cancelled"
        assert live.rest().last["type"] == "cancelled"
    gate.set()


def test_a_client_that_leaves_does_not_stop_the_turn(
    service: Served, journey_log: FakeJourneyLog, character: str, gate: threading.Event
) -> None:
    with service.socket() as socket:
        say(socket, **turn_body(character))
        heard = hear_until(socket, "token")
    service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 0)
    gate.set()
    events = [json.loads(message) for message in replayed(service, heard)]
    assert events[-1]["type"] == "complete"
    assert journey_log.narratives(character) == [NARRATIVE]


def test_a_retry_attaches_by_its_key(
    service: Served, model: FakeModel, character: str, gate: threading.Event
) -> None:
    with service.socket() as first, service.socket() as second:
        say(first, **turn_body(character, idempotency_key="k"))
        heard = hear_until(first, "token")
        say(second, **turn_body(character, idempotency_key="k"))
        again = hear_until(second, "token")
        gate.set()
        assert heard + hear_turn(first) == again + hear_turn(second)
    assert len(model.calls) == 1


# -- what is refused ------------------------------------------------------------------------------

TURN: Json = {"character_id": "7b6f1f34-6a0e-4f5a-9a53-0d6e6d3f6f10", "user_action": "I wait."}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("not json", "bad_request"),
        ("[1]", "bad_request"),
        ("[" * 100_000, "bad_request"),
        ("x" * 300_000, "bad_request"),
        (b"\x00\x01", "bad_request"),
        (b"\xff\xfe{}", "bad_request"),
        (json.dumps({"type": "begin"}), "bad_request"),
        ("{}", "validation_error"),
        (json.dumps({**TURN, "character_id": "nobody"}), "validation_error"),
        (json.dumps({**TURN, "user_action": ""}), "validation_error"),
        (json.dumps({**TURN, "user_action": "x" * 8001}), "validation_error"),
        (json.dumps({"type": "resume"}), "validation_error"),
        (json.dumps({"type": "resume", "turn_id": 5, "after": 0}), "validation_error"),
        (json.dumps({"type": "resume", "turn_id": "t", "after": "0"}), "validation_error"),
        (json.dumps({"type": "resume", "turn_id": "t", "after": 0}), "turn_not_found"),
        (json.dumps({"type": "cancel"}), "turn_not_found"),
        (json.dumps(TURN), "character_not_found"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "binary",
)
def test_a_bad_message_is_answered_and_the_socket_goes_on(
    socket: ClientConnection, character: str, message: str | bytes, kind: str
) -> None:
    socket.send(message)
    refusal = json.loads(hear_until(socket, "error")[-1])
    assert refusal["error_type"] == kind
    assert refusal["message"]
    assert refusal["recoverable"] is False
    say(socket, **turn_body(character))
    assert json.loads(hear_turn(socket)[-1])["type"] == "complete"


def test_a_second_turn_at_once_is_refused_and_the_first_goes_on(
    service: Served,
    journey_log: FakeJourneyLog,
    socket: ClientConnection,
    character: str,
    gate: threading.Event,
) -> None:
    say(socket, **turn_body(character))
    heard = hear_until(socket, "token")
    for other in (turn_body(journey_log.seed_character()), {"type": "resume", "turn_id": "t"}):
        say(socket, **other)
        *before, refusal = hear_until(socket, "error")
        heard += before
        assert json.loads(refusal)["error_type"] == "turn_in_progress"
    gate.set()
    assert heard + hear_turn(socket) == replayed(service, heard)


def test_the_turn_of_somebody_else_cannot_be_resumed(service: Served, character: str) -> None:
    stream = service.turn(character)
    with service.socket(X_User_Id="somebody-else") as socket:
        say(socket, type="resume", turn_id=stream.turn_id, after=0)
        assert json.loads(hear(socket))["error_type"] == "turn_not_found"


def test_sockets_end_when_the_service_does(serve: Callable[..., Served]) -> None:
    service = serve()
    with service.socket() as socket:
        service.close()
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=TIMEOUT)
