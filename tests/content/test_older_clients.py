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


NOBODY = "00000000-0000-4000-8000-000000000000"


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
    problem = answer.json()
    assert (problem["code"], problem["error"]["code"]) == ("INVALID_REQUEST", "INVALID_REQUEST")
    assert problem["message"] == problem["error"]["message"]
    assert problem["details"] == {
        "field": "character_context.character_level",
        "error": "must be a whole number from 1 to 20",
    }
    client.session.headers["Authorization"] = "Bearer nothing"
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


TYPES = "backstory personality combat equipment plot location quest dialogue event story"
ELEMENTS = "tone mood setting conflict symbolism character_focus story_structure world_building"
CATEGORIES = "fantasy horror mystery adventure drama comedy heroic dark epic"
TAKEN: dict[str, tuple[str, str]] = {
    "character": ("type", TYPES),
    "story": ("element_type", "plot quest scene dialogue description event"),
    "npc": ("role", "ally antagonist merchant quest_giver lore_keeper mentor neutral"),
    "location": ("location_type", "town dungeon wilderness landmark building shop tavern"),
}
"""The field that says what is wanted, and all its values."""


@pytest.fixture
def offline(serve: Callable[..., Served]) -> Served:
    return serve(
        openai_base_url=None,
        openai_api_key=None,
        storyteller_tokens_per_second=0,
        limit_text_per_minute=200,
        **WITH_SECRET,
    )


def test_every_value_that_the_contract_names_is_taken(offline: Served) -> None:
    client = OlderClient(offline, lambda _: None)
    for name, (field, values) in TAKEN.items():
        path, body, _ = KINDS[name]
        for value in values.split():
            answer = client.made(path, {**body, field: value})
            assert answer.get(field, value) == value
            assert all(isinstance(answer[key], kind) for key, kind in FIELDS[name].items())
    answer = client.made("/theme/analyze", {"content": "A heroic tale of a storm at sea."})
    assert [one["element"] for one in answer["elements"]] == ELEMENTS.split()
    assert list(answer["confidences"]) == CATEGORIES.split()
    assert all(0 <= one["score"] <= 1 for one in answer["elements"])
    rules: list[dict[str, Any]] = [
        {"category": name, "name": name, "id": f"r-{name}", "description": "x", "parameters": {}}
        for name in ("theme", "quality", "consistency", "rules", "custom")
    ]
    judged = {"content": "A storm came.", "content_type": "scene", "rules": rules}
    results = client.made("/validation/content", judged)["results"]
    assert [one["rule_id"] for one in results] == [rule["id"] for rule in rules]
    assert client.made("/validation/content", {**judged, "rules": []})["overall_score"] == 1.0
    client.session.close()


def test_an_element_names_its_parent_and_its_children(offline: Served) -> None:
    client = OlderClient(offline, lambda _: None)
    path, body, _ = KINDS["story"]
    plot = client.made(path, body)
    assert (plot["parent_element_id"], plot["child_elements"]) == (None, [])
    scene = client.made(
        path, {**body, "element_type": "scene", "parent_element_id": plot["content_id"]}
    )
    assert scene["parent_element_id"] == scene["parent_content_id"] == plot["content_id"]
    kept = client.session.get(
        f"{offline.url}/api/v2/content/{plot['content_id']}", timeout=TIMEOUT
    ).json()
    assert kept["child_elements"] == kept["children"] == [scene["content_id"]]
    client.session.close()


def test_health_has_the_names_that_older_clients_read(offline: Served) -> None:
    health = requests.get(f"{offline.url}/health", timeout=TIMEOUT).json()
    assert health["status"] == "healthy"
    components = health["components"]
    assert all(
        isinstance(components[name], str) for name in ("openai", "message_hub", "cache", "db")
    )
    assert set(health["metrics"]) == {"request_rate", "error_rate", "p95_latency"}


REFUSED: dict[str, tuple[str, str, Any, int, str]] = {
    "level 0": ("POST", "/text/character", {"character_context": {"character_level": 0}}, 422, ""),
    "hot": ("POST", "/text/character", {"model": {"temperature": 2.01}}, 422, ""),
    "no tokens": ("POST", "/text/character", {"model": {"max_tokens": 0}}, 422, ""),
    "party of 0": ("POST", "/campaign/npc", {"context": {"party_size": 0}}, 422, ""),
    "party level 21": ("POST", "/campaign/story", {"context": {"party_level": 21}}, 422, ""),
    "no context": ("POST", "/campaign/location", {"context": None}, 422, ""),
    "category": ("POST", "/theme/analyze", {"category_filter": ["sad"]}, 422, ""),
    "severity": ("POST", "/validation/content", {"rules": [{"name": "x"}]}, 422, ""),
    "parent": ("POST", "/campaign/npc", {"parent_content_id": NOBODY}, 404, "NOT_FOUND"),
    "too large": ("POST", "/theme/analyze", {"content": "x" * 300_000}, 413, "PAYLOAD_TOO_LARGE"),
    "address": ("POST", "/image/generate", {}, 404, "NOT_FOUND"),
    "method": ("GET", "/theme/analyze", None, 405, "METHOD_NOT_ALLOWED"),
    "page": ("GET", "/content?limit=x", None, 400, "INVALID_LIMIT"),
}


def test_every_refusal_is_read_flat_and_nested(offline: Served) -> None:
    client = OlderClient(offline, lambda _: None)
    examples = {path: body for path, body, _ in KINDS.values()}
    for name, (method, path, change, status, code) in REFUSED.items():
        body = None if change is None else {**examples.get(path, {}), **change}
        answer = client.session.request(
            method, f"{offline.url}/api/v2{path}", json=body, timeout=TIMEOUT
        )
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code or "INVALID_REQUEST"), name
        for field in ("code", "message", "details"):
            assert problem["error"][field] == problem[field], name
        assert bool(problem["details"]) == (status == 422), name
        assert int(answer.headers["X-RateLimit-Remaining"]) >= 0
    client.session.close()


def test_a_used_up_budget_is_a_quota(serve: Callable[..., Served]) -> None:
    service = serve(tokens_per_user_per_day=1, **WITH_SECRET)
    client = OlderClient(service, lambda _: None)
    path, body, _ = KINDS["character"]
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (429, "QUOTA_EXCEEDED")
    assert int(answer.headers["Retry-After"]) > 0
    client.session.close()
