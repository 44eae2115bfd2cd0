"""Events of content for other services."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from app.hub.schemas import HubEvent
from pydantic import TypeAdapter

from asking import KINDS, ask, scripted
from fakes.model import FakeModel
from serving import Served

SHAPE: TypeAdapter[Any] = TypeAdapter(HubEvent)
TYPES = {
    "character": "content.generated",
    "story": "story.generated",
    "npc": "content.generated",
    "location": "content.generated",
    "theme": "theme.analyzed",
    "validation": "validation.completed",
}
NAMED: dict[str, dict[str, Any]] = {
    "theme": {"theme_category": "fantasy", "confidence": 0.6},
    "validation": {"passed": True, "overall_score": 0.85},
}


def events(service: Served, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with service.open("GET", "/hub/events") as response:
        while len(found) < count:
            line = response.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data: "):
                found.append(json.loads(line.removeprefix(b"data: ")))
    return found


@pytest.mark.parametrize("name", list(KINDS))
def test_content_is_announced_once_and_without_its_text(
    service: Served, model: FakeModel, name: str
) -> None:
    path, body, written = KINDS[name]
    scripted(model, written)
    answer = ask(service, path, body).json()
    ask(service, path, body)
    service.call("POST", "/api/sessions", {"name": "Inn"})
    first, second = events(service, 2)
    SHAPE.validate_python(first, strict=True)
    assert (first["type"], second["type"]) == (TYPES[name], "session.created")
    assert first["subject"] == f"content/{answer['content_id']}"
    metadata = {key: answer["metadata"][key] for key in ("model_used", "token_usage")}
    assert first["data"] == {
        "content_id": answer["content_id"],
        "content_type": name,
        "metadata": metadata,
        "user_id": "local",
        **NAMED.get(name, {}),
    }


def test_content_that_failed_is_a_turn_that_failed(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(llm_max_retries=0)
    for _ in range(2):
        scripted(model, "no document")
    path, body, _ = KINDS["npc"]
    assert ask(service, path, body).status == 502
    (event,) = events(service, 1)
    SHAPE.validate_python(event, strict=True)
    assert (event["type"], event["data"]["kind"]) == ("turn.failed", "content")
    assert event["subject"].startswith("content/")
