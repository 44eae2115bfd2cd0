"""The descriptions of the API: complete, well formed, and true of what the service answers."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from app import __version__
from app.core.events import gap, ping
from app.errors import ERRORS
from schema_check import at, faults, refs
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute

from descriptions import DOCUMENTS
from fakes.journey_log import FakeJourneyLog, answers
from fakes.model import POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome_text
from serving import Reply, Served, turn_body

OPENAPI: dict[str, Any] = json.loads(json.dumps(DOCUMENTS.openapi))
ASYNCAPI: dict[str, Any] = json.loads(json.dumps(DOCUMENTS.asyncapi))
SOMETIMES = {"Location", "Link", "Allow", "Retry-After", "WWW-Authenticate"}
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
OPERATIONS = [
    (path, method, operation)
    for path, item in OPENAPI["paths"].items()
    for method, operation in item.items()
]
NAMES = [f"{method} {path}" for path, method, _ in OPERATIONS]
every_operation = pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=NAMES)


def resolved(node: Any) -> Any:
    return at(OPENAPI, node["$ref"]) if "$ref" in node else node


# -- complete -------------------------------------------------------------------------------------


def served_operations(app: Starlette) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, Route) and route.include_in_schema:
            for method in (route.methods or set()) - {"HEAD"}:
                yield route.path.replace(":path}", "}"), method.lower()
        elif isinstance(route, WebSocketRoute):
            yield route.path, "get"
        elif isinstance(route, Mount):
            yield f"{route.path}/{{path}}", "get"


def test_every_route_is_described_and_every_description_is_a_route(service: Served) -> None:
    app = service.application.asgi
    assert isinstance(app, Starlette)
    assert sorted(served_operations(app)) == sorted(
        (path, method) for path, method, _ in OPERATIONS
    )


def test_every_error_that_can_be_answered_is_described() -> None:
    described = {
        name
        for _, _, operation in OPERATIONS
        for answer in operation["responses"].values()
        for media in answer.get("content", {}).values()
        for name in media.get("examples", {})
    }
    assert described == set(ERRORS)


def test_the_version_is_that_of_the_service() -> None:
    assert OPENAPI["info"]["version"] == ASYNCAPI["info"]["version"] == __version__


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
def test_a_document_is_served_as_it_was_built(service: Served, path: str) -> None:
    reply = service.call("GET", path)
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert reply.json() == {"/openapi.json": OPENAPI, "/asyncapi.json": ASYNCAPI}[path]


def test_the_documents_are_built_once() -> None:
    assert DOCUMENTS.openapi is DOCUMENTS.openapi
    assert DOCUMENTS.asyncapi is DOCUMENTS.asyncapi


# -- well formed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: Any) -> None:
    found = set(refs(document))
    assert len(found) > 20
    for ref in found:
        assert isinstance(at(document, ref), dict)


SOCKETS_ALONE = {"ResumeMessage", "CancelMessage", "PingMessage", "TableSocketIn", "RpgMessage"}
SOCKETS_ALONE |= {"CampaignSocketIn", "GaiaMessage", "CommitMessage", "RetellMessage"}


def test_nothing_is_defined_for_nobody() -> None:
    found = set(refs(OPENAPI))
    for kind in ("schemas", "parameters", "headers"):
        unused = {n for n in OPENAPI["components"][kind] if f"#/components/{kind}/{n}" not in found}
        assert unused <= SOCKETS_ALONE


def test_the_openapi_document_has_the_form_of_one() -> None:
    assert re.fullmatch(r"3\.1\.\d", OPENAPI["openapi"])
    assert {"title", "version"} <= OPENAPI["info"].keys()
    parts = {"openapi", "info", "servers", "tags", "security", "paths", "components"}
    assert OPENAPI.keys() == parts
    assert all(path.startswith("/") for path in OPENAPI["paths"])
    assert all(item.keys() <= METHODS for item in OPENAPI["paths"].values())
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))


@every_operation
def test_an_operation_is_described_in_full(path: str, method: str, operation: Any) -> None:
    assert operation["summary"]
    assert set(operation["tags"]) <= {tag["name"] for tag in OPENAPI["tags"]}
    parameters = [resolved(one) for one in operation["parameters"]]
    assert all(one["in"] in ("path", "query", "header") for one in parameters)
    assert all(one["description"] and one["schema"] for one in parameters)
    names = [(one["in"], one["name"].lower()) for one in parameters]
    assert len(names) == len(set(names))
    in_path = {one["name"] for one in parameters if one["in"] == "path" and one["required"]}
    assert in_path == set(re.findall(r"{(\w+)}", path))
    assert ("header", "x-request-id") in names


@every_operation
def test_operation_documents_all_its_answers(path: str, method: str, operation: Any) -> None:
    answers = operation["responses"]
    assert any(status < "400" for status in answers)
    assert {"400", "405", "500"} <= answers.keys()
    if method == "post":
        assert "403" in answers
    if operation.get("security") != []:
        assert {"401", "403"} <= answers.keys()
    if "requestBody" in operation:
        assert {"413", "422"} <= answers.keys()
    for status, answer in answers.items():
        assert answer["description"]
        if status >= "400" and (path, status) != ("/ready", "503"):
            kind = "json" if path.startswith("/v1/") else "problem+json"
            assert list(answer["content"]) == [f"application/{kind}"]
        if status in ("429", "503"):
            assert "Retry-After" in answer["headers"]


@every_operation
def test_every_example_is_valid(path: str, method: str, operation: Any) -> None:
    medias = list(operation.get("requestBody", {}).get("content", {}).items())
    for answer in operation["responses"].values():
        medias += answer.get("content", {}).items()
    for kind, media in medias:
        given = [media["example"]] if "example" in media else []
        given += [example["value"] for example in media.get("examples", {}).values()]
        if kind != "text/event-stream":
            assert [faults(one, media["schema"], OPENAPI) for one in given] == [[]] * len(given)
    if "requestBody" in operation:
        assert "example" in operation["requestBody"]["content"]["application/json"]


def test_the_asyncapi_document_has_the_form_of_one() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    socket = ASYNCAPI["channels"]["turnSocket"]
    assert socket["address"] == "/turn/ws"
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = at(ASYNCAPI, operation["channel"]["$ref"])
        for message in operation["messages"]:
            assert at(ASYNCAPI, message["$ref"]) in channel["messages"].values()
    for message in ASYNCAPI["components"]["messages"].values():
        for example in message.get("examples", []):
            assert faults(example["payload"], message["payload"], ASYNCAPI) == []


def test_names_of_the_documents_have_the_terms_of_their_formats() -> None:
    verbs = {"send": ("send", "follow", "replay"), "receive": ("receive",)}
    for name, operation in ASYNCAPI["operations"].items():
        assert name.startswith(verbs[operation["action"]]), name
    named = [operation["operationId"] for _, _, operation in OPERATIONS]
    named += [*OPENAPI["components"]["schemas"], *ASYNCAPI["components"]["schemas"]]
    named += ASYNCAPI["operations"]
    odd = re.compile(r"([Tt]old|\btell|Tell|\bhear|Hear)(?![a-z])")
    assert [name for name in named if odd.search(name)] == []
    assert {"commitTurn", "commitSessionTurn", "retellTurn", "retellSessionTurn"} <= {*named}


def test_both_documents_know_the_same_messages() -> None:
    for name, schema in ASYNCAPI["components"]["schemas"].items():
        assert OPENAPI["components"]["schemas"][name] == schema


# -- true -----------------------------------------------------------------------------------------


def described(method: str, path: str, reply: Reply) -> Any:
    """The schema of this answer, found by its path, method, status and content type."""
    template = next(t for t in sorted(OPENAPI["paths"], key=_openness) if _fits(t, path))
    answer = OPENAPI["paths"][template][method.lower()]["responses"][str(reply.status)]
    for name in answer["headers"]:
        assert reply.header(name) is not None or name in SOMETIMES
    kind = (reply.header("content-type") or "").partition(";")[0]
    return answer["content"][kind]["schema"]


def _openness(template: str) -> int:
    return template.count("{")


def _fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path.partition("?")[0]) is not None


def check(service: Served, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """Call, and hold the answer to its description."""
    reply = service.call(method, path, body, **headers)
    schema = described(method, path, reply)
    assert faults(reply.json(), schema, OPENAPI) == [], (method, path)
    return reply


@pytest.fixture
def busy(serve: Callable[..., Served], model: FakeModel) -> Served:
    """A service whose turns do everything at once."""
    model.default = Script(text=outcome_text(quest=QUEST_OFFER, poi=POI_CREATE))
    return serve(quest_trigger_prob=1, poi_trigger_prob=1, rng_seed="x", journey_log_max_retries=0)


def test_real_answers_are_as_described(busy: Served, character: str) -> None:
    turn = check(busy, "POST", "/turn", turn_body(character)).json()
    made = check(busy, "POST", "/characters", {"name": "A", "race": "B", "class_name": "C"})
    assert made.status == 201
    for path in (
        f"/turns/{turn['turn_id']}",
        f"/admin/turns/{turn['turn_id']}",
        f"/admin/characters/{character}/recent_turns",
        f"/characters/{character}",
        "/characters",
        "/health",
        "/ready",
        "/live",
        "/admin/policy/config",
    ):
        assert check(busy, "GET", path).status == 200
    assert check(busy, "POST", f"/turns/{turn['turn_id']}/ticket").status == 201
    check(busy, "GET", "/metrics", Accept="application/json")
    check(busy, "POST", "/admin/policy/reload", {"config": {}})
    for answer in (outcome_text(), "", '{"narrative": 7}'):
        check(busy, "POST", "/debug/parse_llm", {"llm_response": answer})


def test_real_refusals_are_as_described(busy: Served, character: str) -> None:
    turn_id = busy.turn(character).turn_id
    calls: list[tuple[str, str, Any, dict[str, str], int]] = [
        ("POST", "/turn", {}, {}, 422),
        ("POST", "/turn", turn_body(str(uuid.uuid4())), {}, 404),
        ("POST", "/turn", {}, {"Origin": "http://evil.example"}, 403),
        ("POST", "/turn", b"x" * 300_000, {}, 413),
        ("POST", "/turn/stream", b"{", {"Content_Type": "text/plain"}, 400),
        ("GET", "/health", None, {"Host": "evil.example"}, 400),
        ("GET", f"/turns/{uuid.uuid4()}", None, {}, 404),
        ("POST", f"/turns/{turn_id}/cancel", None, {}, 409),
        ("GET", "/characters/x", None, {}, 422),
        ("GET", f"/admin/characters/{character}/recent_turns?limit=0", None, {}, 400),
        ("POST", "/admin/policy/reload", {"config": {"x": 1}}, {}, 400),
        ("GET", "/static/nope", None, {}, 404),
        ("GET", "/turn/ws", None, {}, 426),
    ]
    for method, path, body, headers, status in calls:
        assert check(busy, method, path, body, **headers).status == status


def test_a_failed_and_a_running_turn_are_as_described(
    busy: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    gate = threading.Event()
    model.then(*[Script(text="no outcome")] * 2, Script(gate=gate, gate_after=2))
    failed = busy.turn(character).turn_id
    check(busy, "GET", f"/turns/{failed}")
    check(busy, "GET", f"/admin/turns/{failed}")
    with busy.live(character) as live:
        live.until("metadata", phase="narrative")
        assert check(busy, "GET", f"/turns/{live.turn_id}").json()["status"] == "running"
        assert check(busy, "POST", "/turn", turn_body(character)).status == 409
        assert check(busy, "POST", f"/turns/{live.turn_id}/cancel").status == 202
        gate.set()
        cancelled = live.rest()
    check(busy, "GET", f"/turns/{cancelled.turn_id}")
    journey_log.fail("context", answers(500))
    assert check(busy, "POST", "/turn", turn_body(character)).status == 502


def test_every_event_of_a_stream_is_as_described(
    busy: Served, model: FakeModel, character: str
) -> None:
    gate = threading.Event()
    whole = busy.turn(character)
    model.then(*[Script(text="no outcome")] * 2, Script(gate=gate, gate_after=2))
    failed = busy.turn(character)
    with busy.live(character) as live:
        live.until("metadata", phase="narrative")
        busy.cancel(live.turn_id)
        gate.set()
        cancelled = live.rest()
    answer = OPENAPI["paths"]["/turn/stream"]["post"]["responses"]["200"]
    item = answer["content"]["text/event-stream"]["itemSchema"]
    schema = item["properties"]["data"]["anyOf"][1]["contentSchema"]
    events = whole.events + failed.events + cancelled.events
    assert [faults(event, schema, OPENAPI) for event in events] == [[]] * len(events)
    kinds = {event["type"] for event in events}
    assert kinds == {"metadata", "token", "preview", "write", "complete", "error", "cancelled"}


def test_pings_and_gaps_are_as_described() -> None:
    schema = OPENAPI["components"]["schemas"]["TurnEvent"]
    for _, _, data in (
        ping("2030-01-01T00:00:00.000Z"),
        gap(2, 7, "2030-01-01T00:00:00.000Z"),
    ):
        assert faults(json.loads(data), schema, OPENAPI) == []


def test_the_event_stream_of_a_new_character_is_described_beside_its_json() -> None:
    answers = OPENAPI["paths"]["/characters"]["post"]["responses"]
    kinds = {kind for status in ("200", "201") for kind in answers[status]["content"]}
    assert kinds == {"text/event-stream", "application/json"}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"a": 1}, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
        (True, {"type": "integer"}),
        ("x", {"type": "string", "format": "uuid"}),
        (None, {"anyOf": [{"type": "string"}, {"const": 1}]}),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}),
    ],
)
def test_the_check_itself_finds_faults(value: Any, schema: Any) -> None:
    assert faults(value, schema, {}) != []
