"""Whatever is sent, by clients or by the model, is answered in order and ends no service."""

from __future__ import annotations

import copy
import gc
import json
import logging
import re
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from app.errors import ERRORS, BadRequest
from app.web.middleware import REQUEST_ID, TRACEPARENT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fakes.journey_log import FakeJourneyLog
from fakes.model import COMBAT_START, META, POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome
from passes import SECRET, USER, WITH_SECRET, Json, base64url, bearer, by_hand, claims
from serving import TIMEOUT, Reply, Served, Stream, turn_body
from wire import connected, handshake, heard, received

CHARACTER = "0b8a7d52-53a4-4f0e-9f0c-6a1f6f2f4c21"
bounded = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.fixture(scope="module")
def model() -> Iterator[FakeModel]:
    with FakeModel() as server:
        yield server


@pytest.fixture(scope="module")
def journey_log() -> Iterator[FakeJourneyLog]:
    with FakeJourneyLog() as server:
        server.seed_character(character_id=CHARACTER)
        server.seed_character(USER)
        yield server


def quiet(**changes: Any) -> dict[str, Any]:
    """Settings under which nothing but nonsense can go wrong."""
    return {
        "admin_endpoints_enabled": True,
        "enable_debug_endpoints": True,
        "max_turns_per_character_per_second": 100,
        "limit_user_per_minute": 0,
        "breaker_failures": 10_000,
        "llm_retry_delay_base": 0.1,
        "llm_retry_delay_max": 1,
        "quest_trigger_prob": 1,
        "poi_trigger_prob": 1,
        "rng_seed": "x",
        **changes,
    }


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, model: FakeModel, journey_log: FakeJourneyLog
) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("fuzz") / "store.db"
    upstreams = {"openai_base_url": model.base_url, "journey_log_base_url": journey_log.url}
    with Served(store_url=f"sqlite:///{store}", **upstreams, **quiet()) as served:
        yield served


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("gate") / "store.db"
    with Served(
        store_url=f"sqlite:///{store}", openai_stub_mode=True, **WITH_SECRET, **quiet()
    ) as served:
        yield served


@pytest.fixture(autouse=True)
def _nothing_unexpected(
    service: Served, model: FakeModel, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """After each storm: a turn goes well, and nothing went wrong unheard, then or when its remains
    are collected."""
    yield
    model.default = Script()
    gc.collect()
    assert service.turn(CHARACTER).last["type"] == "complete"
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info]
    assert found == []


def well_formed(reply: Reply) -> None:
    assert reply.status < 500, reply.body
    if reply.status >= 400:
        assert reply.error["type"] in ERRORS


def unbroken(stream: Stream) -> Json:
    """Numbered without gaps, ended by exactly one terminal event, which is returned."""
    turn_id = stream.turn_id
    ids = [frame.split(b"\n")[0].decode() for frame in stream.frames]
    assert ids == [f"id: {turn_id}:{number + 1}" for number in range(len(ids))]
    kinds = [event["type"] for event in stream.events]
    assert [kind in ("complete", "error", "cancelled") for kind in kinds].count(True) == 1
    assert stream.body.endswith(b"\n\ndata: [DONE]\n\n")
    assert stream.last["type"] in ("complete", "error")
    return stream.last


# -- bodies ---------------------------------------------------------------------------------------

any_text = st.text(st.characters(), max_size=40)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)


def or_anything(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, any_json)


turn_bodies = st.fixed_dictionaries(
    {
        "character_id": or_anything(
            st.sampled_from(
                [CHARACTER, CHARACTER.upper(), f"{{{CHARACTER}}}", str(uuid.UUID(int=7))]
            )
        ),
        "user_action": or_anything(any_text.filter(len)),
    },
    optional={
        "trace_id": or_anything(any_text),
        "dry_run": or_anything(st.booleans()),
        "idempotency_key": or_anything(any_text),
        "type": any_json,
    },
)


@given(body=turn_bodies, path=st.sampled_from(["/turn", "/turn/stream"]))
@example(body=turn_body(CHARACTER, "\x00"), path="/turn")
@example(body=turn_body(CHARACTER, "x", idempotency_key="\x00"), path="/turn")
@example(body=turn_body(CHARACTER, "\u2028\ufeff\U0001f525"), path="/turn/stream")
@bounded
def test_any_turn_request_is_played_or_refused(service: Served, body: Json, path: str) -> None:
    reply = service.stream("POST", path, json.dumps(body).encode())
    well_formed(reply)
    if reply.status == 200 and path == "/turn/stream":
        unbroken(reply)


@given(
    body=st.binary(max_size=200) | any_json.map(lambda value: json.dumps(value).encode()),
    path=st.sampled_from(
        ["/turn", "/turn/stream", "/characters", "/admin/policy/reload", "/debug/parse_llm"]
    ),
)
@bounded
def test_any_bytes_are_a_body_or_refused(service: Served, body: bytes, path: str) -> None:
    well_formed(service.call("POST", path, body, Content_Type="application/json; charset=x"))


@given(
    body=st.fixed_dictionaries(
        {name: or_anything(any_text) for name in ("name", "race", "class_name")},
        optional={"adventure_prompt": any_json, "custom_prompt": any_text},
    )
)
@bounded
def test_any_character_is_made_or_refused(service: Served, body: Json) -> None:
    well_formed(service.call("POST", "/characters", json.dumps(body).encode()))


@given(
    config=st.dictionaries(
        st.sampled_from(
            ["quest_trigger_prob", "poi_cooldown_turns", "memory_spark_probability", "unknown"]
        ),
        any_json,
    )
)
@bounded
def test_any_policy_is_taken_or_refused(service: Served, config: Json) -> None:
    well_formed(service.call("POST", "/admin/policy/reload", {"config": config}))


# -- headers --------------------------------------------------------------------------------------

header_text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=60)
key_like = st.from_regex(r"[A-Za-z0-9._-]{1,130}", fullmatch=True)


@given(
    key=header_text | key_like.map(lambda text: text * 3),
    request_id=header_text | key_like,
    trace=header_text | st.from_regex(TRACEPARENT, fullmatch=True),
)
@bounded
def test_any_headers_of_a_turn_are_taken_or_refused(
    service: Served, journey_log: FakeJourneyLog, key: str, request_id: str, trace: str
) -> None:
    sent = {"Idempotency-Key": key, "X-Request-Id": request_id, "traceparent": trace}
    before = len(journey_log.requests)
    reply = service.call("POST", "/turn", turn_body(CHARACTER), **sent)
    well_formed(reply)
    if reply.status == 400:
        assert reply.error["message"] == BadRequest.default_message, "it is no HTTP"
        return
    answered = reply.header("x-request-id") or ""
    assert REQUEST_ID.fullmatch(answered)
    assert answered == request_id or not REQUEST_ID.fullmatch(request_id)
    for request in journey_log.requests[before:]:
        assert request.headers["x-request-id"] == answered
        sent_on = request.headers.get("traceparent")
        assert sent_on == (trace if TRACEPARENT.fullmatch(trace) else None)


@pytest.fixture(scope="module")
def finished(service: Served) -> Stream:
    return service.turn(CHARACTER)


positions = st.one_of(
    header_text,
    st.integers().map(str),
    st.sampled_from(["{id}:", "{id}:²", "{id}:-1", "{id}:1e3", "{id}:0x1", "{id}:" + "9" * 5000]),
    st.integers(-5, 50).map(lambda number: f"{{id}}:{number}"),
    st.integers(-5, 50).map(lambda number: f"{{id}}x:{number}"),
)


@given(position=positions, in_query=st.booleans())
@bounded
def test_any_position_reads_the_rest_or_everything(
    service: Served, finished: Stream, position: str, in_query: bool
) -> None:
    asked = position.replace("{id}", finished.turn_id)
    path = f"/turns/{finished.turn_id}/events"
    if in_query:
        encoded = "".join(f"%{byte:02x}" for byte in asked.encode())
        reply = service.stream("GET", f"{path}?after={encoded}")
    else:
        reply = service.stream("GET", path, Last_Event_ID=asked)
    if reply.status == 400:
        assert not in_query, "bytes that no header may have"
    elif reply.status != 204:
        assert reply.status == 200
        seen = len(finished.frames) - len(reply.frames)
        assert reply.frames == finished.frames[seen:] != []
        assert seen == 0 or asked.endswith(str(seen))


@given(path=st.text(max_size=30), query=st.text(max_size=30))
@bounded
def test_any_address_is_found_or_not(service: Served, path: str, query: str) -> None:
    def encoded(text: str) -> str:
        return "".join(f"%{byte:02x}" for byte in text.encode())

    for head in ("/", "/turns/", "/characters/", "/admin/turns/", "/admin/usage/", "/static/"):
        well_formed(service.call("GET", f"{head}{encoded(path)}?{encoded(query)}"))


@given(
    sent=st.binary(min_size=1, max_size=120) | st.binary(max_size=60).map(lambda b: b"GET /" + b)
)
@example(sent=b"GET /%ff%00%ed%a0%80 HTTP/1.1\r\nHost: localhost\r\n")
@example(
    sent=b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
)
@bounded
def test_any_bytes_on_the_wire_are_survived(service: Served, sent: bytes) -> None:
    with connected(service, sent + b"\r\n\r\n") as raw:
        raw.shutdown(socket.SHUT_WR)
        answered = received(raw)
    assert re.match(rb"HTTP/1\.1 [1234]\d\d |$", answered)


# -- tokens ---------------------------------------------------------------------------------------

token_part = st.one_of(
    st.binary(max_size=40),
    any_json.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c"]), any_json
    ).map(lambda value: json.dumps(value).encode()),
)


@given(
    sent=header_text
    | st.lists(token_part.map(base64url), max_size=5).map(lambda parts: b".".join(parts).decode())
)
@bounded
def test_any_token_without_a_signature_is_turned_away(gate: Served, sent: str) -> None:
    assert gate.call("GET", "/usage", **bearer(sent)).status in (400, 401)


@given(
    header=st.dictionaries(st.sampled_from(["kid", "typ", "crit", "cty"]), any_json),
    changes=st.dictionaries(
        st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "scope", "jti"]), any_json
    ),
)
@bounded
def test_any_claims_let_in_or_turn_away(gate: Served, header: Json, changes: Json) -> None:
    payload = json.dumps({**claims(), **changes}).encode()
    forged = by_hand({"alg": "HS256", **header}, payload, SECRET.encode())
    reply = gate.call("GET", "/usage", **bearer(forged))
    assert reply.status in (200, 401, 403)
    if reply.status == 200:
        assert reply.json()["user_id"] == changes.get("sub", USER)


@given(sent=header_text | st.binary(max_size=60).map(lambda data: base64url(data).decode()))
@bounded
def test_any_ticket_is_turned_away(gate: Served, sent: str) -> None:
    encoded = "".join(f"%{byte:02x}" for byte in sent.encode())
    assert gate.call("GET", f"/turns/{CHARACTER}/events?ticket={encoded}").status == 401


# -- WebSocket messages ---------------------------------------------------------------------------

messages = st.one_of(
    any_text.map(lambda text: text.encode("utf-8", "replace").decode()),
    st.binary(max_size=40),
    any_json.map(json.dumps),
    turn_bodies.map(json.dumps),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["resume", "cancel", "turn", ""])},
        optional={
            "turn_id": or_anything(st.just(CHARACTER)),
            "after": or_anything(st.integers()),
        },
    ).map(json.dumps),
)


@given(said=st.lists(messages, min_size=1, max_size=5))
@example(said=[json.dumps({"type": "resume", "turn_id": "\ud800", "after": 0})])
@example(said=[json.dumps({"type": "resume", "turn_id": "\x00", "after": 10**30})])
@example(said=['{"type":"resume","turn_id":"x","after":' + "9" * 5000 + "}"])
@bounded
def test_any_message_is_answered_and_the_socket_goes_on(
    service: Served, said: list[str | bytes]
) -> None:
    with service.socket() as opened:
        for message in said:
            opened.send(message)
            assert ended(opened)["type"] in ("complete", "error")
        opened.send('{"type":"cancel"}')
        assert ended(opened)["phase"] == "request"


def ended(opened: Any) -> Json:
    """The next terminal event; a refusal is one too."""
    while True:
        event: Json = json.loads(opened.recv(TIMEOUT))
        if event["type"] in ("complete", "error", "cancelled"):
            return event


@given(said=st.binary(min_size=1, max_size=60))
@bounded
def test_any_frame_is_survived(service: Served, said: bytes) -> None:
    with connected(service, handshake()) as raw:
        assert heard(raw).startswith(b"HTTP/1.1 101 ")
        raw.sendall(said)
        raw.shutdown(socket.SHUT_WR)
        received(raw)


# -- what the model says --------------------------------------------------------------------------

FULL = outcome(
    quest=QUEST_OFFER,
    combat=COMBAT_START,
    poi=POI_CREATE,
    location={
        "action": "update_minor",
        "location_id": "a:b",
        "location_display_name": "B",
        "minor_location": "stairs",
    },
    meta=META,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        inner = enumerate(value)
    for name, member in inner:
        yield from places(member, (*path, name))


def put(path: tuple[Any, ...], value: Any) -> Any:
    """A whole outcome with `value` at the path."""
    if not path:
        return value
    document = copy.deepcopy(FULL)
    node: Any = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return document


odd = st.one_of(
    any_json,
    st.sampled_from(["", " ", "none", "NONE", "x" * 3000, "\ud83d", "\x00", -1, 10**20, 1e308]),
    st.just(FULL),
    st.lists(st.just(COMBAT_START["enemies"][0]), max_size=7),
)
mutated = st.builds(put, st.sampled_from(list(places(FULL))), odd)
answers = st.one_of(
    mutated.map(json.dumps),
    mutated.map(lambda value: f"```json\n{json.dumps(value)}\n```"),
    mutated.map(lambda value: f"<think>{{}}</think>\n{json.dumps(value)}"),
    st.builds(lambda value, size: json.dumps(value)[:size], mutated, st.integers(0, 400)),
    st.builds(
        lambda at, text: json.dumps(FULL)[:at] + text + json.dumps(FULL)[at:],
        st.integers(0, 400),
        st.text(max_size=10),
    ),
    st.integers(1, 400).map(lambda depth: '{"narrative":' * depth),
    st.text(max_size=60),
)


@given(text=answers, size=st.sampled_from([1, 7, 1000]), streaming=st.booleans())
@example(text="", size=1, streaming=True)
@example(text='{"narrative": "\\ud83d', size=1, streaming=True)
@example(text='{"narrative": "' + "\\u0000" * 9 + '", "intents": {}}', size=3, streaming=True)
@example(text=json.dumps(FULL) * 2, size=7, streaming=True)
@example(text='{"narrative":"a","narrative":"b","intents":{}}', size=4, streaming=True)
@settings(bounded, max_examples=settings().max_examples * 2)
def test_turn_ends_in_order_with_any_answer_of_the_model(
    service: Served,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    text: str,
    size: int,
    streaming: bool,
) -> None:
    model.default = Script(text=text, token_chars=size, per_write=0, ignores_stream=not streaming)
    before = len(journey_log.narratives(CHARACTER))
    stream = service.turn(CHARACTER)
    assert stream.status == 200
    last = unbroken(stream)
    written = journey_log.narratives(CHARACTER)[before:]
    if last["type"] == "complete":
        assert written == [stream.narrative]
        assert last["subsystem_summary"]["narrative_persisted"] is True
    else:
        assert written == []
        assert last["error_type"] == "llm_response_error"


@given(
    raw=st.binary(max_size=120)
    | any_json.map(lambda v: b"data: " + json.dumps(v).encode() + b"\n\n")
)
@bounded
def test_turn_ends_in_order_with_any_stream_of_the_model(
    service: Served, model: FakeModel, raw: bytes
) -> None:
    model.default = Script(text="no outcome", raw_stream=raw)
    reply = service.turn(CHARACTER)
    assert reply.status == 200
    assert unbroken(reply)["type"] == "error"


@given(text=answers | any_text)
@bounded
def test_any_answer_can_be_asked_about(service: Served, text: str) -> None:
    safe = text.encode("utf-8", "replace").decode()
    reply = service.call("POST", "/debug/parse_llm", {"llm_response": safe})
    assert reply.status == 200
    assert isinstance(reply.json()["is_valid"], bool)
