"""`POST /api/v2/batch` over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asking import CHARACTER, KINDS, NPC, THEME, VALIDATION, ask
from fakes.model import FakeModel, Script
from serving import Reply, Served, aside

ONE = {"content": "One.", "analysis": "One.", "description": "One."}


@pytest.fixture(autouse=True)
def model_writes(model: FakeModel) -> None:
    model.default = Script(text=json.dumps(ONE))


def post(service: Served, *requests: dict[str, Any], **headers: str) -> Reply:
    return service.call("POST", "/api/v2/batch", {"requests": list(requests)}, **headers)


def lines(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    return [json.loads(line) for line in reply.body.decode().splitlines() if line]


def character(**fields: Any) -> dict[str, Any]:
    return {"path": "/text/character", "body": {**CHARACTER, **fields}}


def test_every_request_has_a_result_with_a_status_of_its_own(service: Served) -> None:
    requests = [{"path": path, "body": body, "id": name} for name, (path, body, _) in KINDS.items()]
    bad = [
        character(type="poem"),
        {"path": "/image/generate", "body": {}},
        {"path": "/api/v2/campaign/npc", "body": {**NPC, "parent_content_id": "0" * 32}},
    ]
    found = {one["index"]: one for one in lines(post(service, *requests, *bad))}
    assert sorted(found) == list(range(9))
    for index, request in enumerate(requests):
        one = found[index]
        assert (one["status"], one["id"]) == (200, request["id"])
        assert one["body"]["metadata"]["content_type"] == request["id"]
        assert int(one["headers"]["X-RateLimit-Remaining"]) > 0
    assert [found[index]["status"] for index in (6, 7, 8)] == [422, 404, 404]
    assert found[6]["body"]["code"] == "INVALID_REQUEST"
    kept = service.call("GET", "/api/v2/content").json()["contents"]
    assert len(kept) == 6


def test_results_come_as_they_are_done(service: Served, model: FakeModel) -> None:
    gate = threading.Event()
    model.then(Script(text=json.dumps(ONE), gate=gate, gate_after=0))
    body = {"requests": [character()]}
    held = aside(ask, service, "/text/character", CHARACTER)
    service.wait_for(lambda: model.calls)
    body["requests"] += [character(type="plot"), character(type="quest")]
    with service.open("POST", "/api/v2/batch", body) as response:
        early = [json.loads(response.readline())["index"] for _ in range(2)]
        assert sorted(early) == [1, 2]
        gate.set()
        last = json.loads(response.readline())
        assert (last["index"], last["status"]) == (0, 200)
        assert response.readline() == b""
    assert last["body"] == held.result(300).json()
    assert last["headers"]["X-Cache"] == "hit"


def test_the_same_results_as_events(service: Served) -> None:
    answer = service.stream(
        "POST", "/api/v2/batch", {"requests": [character()]}, Accept="text/event-stream"
    )
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    blocks = answer.body.decode().split("\n\n")
    assert json.loads(blocks[0].removeprefix("data: "))["status"] == 200
    assert blocks[1:] == ["data: [DONE]", ""]


def test_limits_count_each_request(serve: Callable[..., Served]) -> None:
    service = serve(limit_text_per_minute=3)
    types = ("plot", "quest", "event", "dialogue", "combat")
    found = lines(post(service, *(character(type=name) for name in types)))
    assert sorted(one["status"] for one in found) == [200, 200, 200, 429, 429]
    over = next(one for one in found if one["status"] == 429)
    assert over["body"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert int(over["headers"]["Retry-After"]) > 0
    theme = {"path": "/theme/analyze", "body": THEME}
    assert [one["status"] for one in lines(post(service, theme))] == [200]


def test_a_key_counts_for_each_request_by_its_place(service: Served, model: FakeModel) -> None:
    requests = [character(), {"path": "/validation/content", "body": VALIDATION}]
    first = {
        one["index"]: one["body"] for one in lines(post(service, *requests, Idempotency_Key="k"))
    }
    calls = len(model.calls)
    again = {
        one["index"]: one["body"] for one in lines(post(service, *requests, Idempotency_Key="k"))
    }
    assert again == first
    assert len(model.calls) == calls
    for end in "ab":  # the longest keys there are, which differ in their end only
        (made,) = lines(post(service, character(type="plot"), Idempotency_Key="k" * 254 + end))
        assert made["body"]["content_id"] not in {one["content_id"] for one in first.values()}
        first[len(first)] = made["body"]


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_key_in_a_batch_is_no_key_of_a_request_by_itself(
    service: Served, *, batch_first: bool
) -> None:
    def batched() -> str:
        (made,) = lines(post(service, character(), Idempotency_Key="k"))
        return str(made["body"]["content_id"])

    def single() -> str:
        reply = ask(service, "/text/character", CHARACTER, Idempotency_Key="k:0")
        return str(reply.json()["content_id"])

    both = [batched, single] if batch_first else [single, batched]
    made = [one() for one in both]
    assert made[0] != made[1]
    assert [one() for one in both] == made


@pytest.mark.parametrize("count", [0, 1, 51])
def test_a_batch_has_from_one_to_fifty_requests_with_finite_numbers(
    service: Served, count: int
) -> None:
    reply = post(service, *(character(theme={"x": float("nan")}) for _ in range(count)))
    assert (reply.status, reply.json()["code"]) == (422, "INVALID_REQUEST")


def test_fifty_of_the_same_make_one_call(service: Served, model: FakeModel) -> None:
    found = lines(post(service, *(character() for _ in range(50))))
    assert [one["status"] for one in found] == [200] * 50
    assert len({one["body"]["content_id"] for one in found}) == 1
    assert len(model.calls) == 1
