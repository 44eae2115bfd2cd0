"""Clients of the older content service: `requests`, a bearer token, and backoff on 429."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from app.ports.clock import Clock
from asking import KINDS, TEXT, THEME, scripted

from fakes.model import FakeModel
from journal import Hands
from passes import WITH_SECRET, token
from serving import TIMEOUT, Served

FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "character": {"content": str, "content_id": str, "metadata": dict},
    "story": {
        "content_id": str,
        "element_type": str,
        "content": str,
        "summary": str,
        "metadata": dict,
    },
    "npc": {
        "content_id": str,
        "name": str,
        "role": str,
        "description": str,
        "personality": str,
        "motivations": list,
        "secrets": list,
        "metadata": dict,
    },
    "location": {
        "content_id": str,
        "name": str,
        "location_type": str,
        "description": str,
        "points_of_interest": list,
        "occupants": list,
        "hooks": list,
        "metadata": dict,
    },
    "theme": {
        "content_id": str,
        "primary_category": str,
        "secondary_categories": list,
        "category_confidence": (int, float),
        "elements": list,
        "compatibility": dict,
        "suggested_parameters": dict,
        "metadata": dict,
    },
    "validation": {
        "content_id": str,
        "overall_score": (int, float),
        "passed": bool,
        "results": list,
        "summary": str,
        "metadata": dict,
    },
}
"""What such a client reads of an answer."""


class RateLimited(Exception):
    pass


class OlderClient:
    """Tries three times, and waits 1 s, then 2 s, after a 429. `sleep` is given the seconds."""

    def __init__(self, service: Served, sleep: Callable[[float], None]) -> None:
        self._url = f"{service.url}/api/v2"
        self._sleep = sleep
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {token(scope='content')}"

    def post(self, path: str, body: dict[str, Any]) -> requests.Response:
        return self.session.post(f"{self._url}{path}", json=body, timeout=TIMEOUT)

    def made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(3):
            answer = self.post(path, body)
            if answer.status_code != 429:
                answer.raise_for_status()
                found: dict[str, Any] = answer.json()
                return found
            assert answer.json()["code"] == "RATE_LIMIT_EXCEEDED"
            if attempt < 2:
                self._sleep(2**attempt)
        raise RateLimited


@pytest.fixture
def clock() -> Hands:
    return Hands(time.time())


@pytest.fixture
def service(serve: Callable[..., Served], clock: Hands) -> Served:
    return serve(clock=Clock(now=clock), limit_text_per_minute=2, **WITH_SECRET)


@pytest.fixture
def client(service: Served, clock: Hands) -> Iterator[OlderClient]:
    def sleep(seconds: float) -> None:
        clock.now += seconds

    made = OlderClient(service, sleep)
    with made.session:
        yield made


@pytest.mark.parametrize("name", list(KINDS))
def test_an_example_is_answered_in_fields_of_their_types(
    client: OlderClient, model: FakeModel, name: str
) -> None:
    path, body, written = KINDS[name]
    scripted(model, written)
    answer = client.made(path, body)
    for field, kind in FIELDS[name].items():
        assert isinstance(answer[field], kind), field
    usage = answer["metadata"]["token_usage"]
    assert set(usage) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    if name == "theme":
        assert {one["element"] for one in answer["elements"]} == set(THEME["elements"])
        assert set(answer["elements"][0]) >= {"element", "score", "description", "suggestions"}
        assert set(answer["compatibility"]) >= {"score", "conflicts", "transition_steps"}
    if name == "validation":
        first, second = answer["results"]
        assert set(first) >= {"rule_id", "passed", "score", "issues"}
        assert set(second["issues"][0]) >= {"severity", "message", "suggestions"}
        assert answer["overall_score"] == pytest.approx(0.85)


def test_a_client_that_backs_off_gets_through_when_the_window_has_moved(
    client: OlderClient, model: FakeModel, clock: Hands
) -> None:
    path, body, _ = KINDS["character"]
    for number in range(2):
        scripted(model, {"content": TEXT})
        answer = client.post(path, {**body, "additional_context": {"number": number}})
        assert answer.headers["X-RateLimit-Remaining"] == str(1 - number)
        assert int(answer.headers["X-RateLimit-Reset"]) > clock.now
    clock.now += 58
    scripted(model, {"content": TEXT})
    assert client.made(path, {**body, "type": "personality"})["content"] == TEXT
    assert len(model.calls) == 3


def test_a_client_gives_up_after_three_tries(client: OlderClient, model: FakeModel) -> None:
    path, body, _ = KINDS["character"]
    for number in range(2):
        scripted(model, {"content": TEXT})
        client.made(path, {**body, "additional_context": {"number": number}})
    with pytest.raises(RateLimited):
        client.made(path, {**body, "type": "personality"})
    assert len(model.calls) == 2


def test_errors_are_read_flat_and_nested(client: OlderClient) -> None:
    path, body, _ = KINDS["character"]
    context = {**body["character_context"], "character_level": 21}
    answer = client.post(path, {**body, "character_context": context})
    told = answer.json()
    assert (told["code"], told["error"]["code"]) == ("INVALID_REQUEST", "INVALID_REQUEST")
    assert told["message"] == told["error"]["message"]
    assert told["details"] == {
        "field": "character_context.character_level",
        "error": "must be a whole number from 1 to 20",
    }
    client.session.headers["Authorization"] = "Bearer nothing"
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
