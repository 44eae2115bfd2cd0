"""Another kind of content is one file: a `Kind` beside the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import app.content.kinds
import pytest
from app.bootstrap.features import FEATURES
from app.content import wiring
from app.content.kind import Kind
from app.content.kinds import KINDS
from app.content.requests import ContentIn
from app.core.written import Prose, Texts, Written
from app.feature import FeatureSpec

from asking import ask, scripted, stream
from fakes.model import FakeModel
from serving import Served


class RumourIn(ContentIn):
    place: str
    reliable: bool = False


class Rumour(Written):
    content: Prose = ""
    sources: Texts = ()


KIND = Kind(
    name="rumour",
    path="/campaign/rumour",
    summary="Make up a rumour",
    request=RumourIn,
    document=Rumour,
    text="content",
    task=lambda asked: f"Make up a rumour that is {'true' if asked.reliable else 'false'}.",
    example={"place": "the ford"},
)


@pytest.fixture
def seven(serve: Callable[..., Served]) -> Callable[..., Served]:
    wire = partial(wiring.wire, kinds=(*KINDS, KIND))
    spec = FeatureSpec("content", wire, wiring.FEATURE.settings)
    features = [spec if one is wiring.FEATURE else one for one in FEATURES]
    return partial(serve, features=features)


WRITTEN = {"content": "They say it rises.", "sources": ["a carter"]}
BODY = {"place": "the ford"}


def test_new_kind_does_what_all_kinds_do(seven: Callable[..., Served], model: FakeModel) -> None:
    service = seven()
    scripted(model, WRITTEN)
    streamed = stream(service, "/campaign/rumour", BODY)
    assert (streamed.narrative, streamed.last["type"]) == ("They say it rises.", "complete")
    whole = ask(service, "/campaign/rumour", BODY)
    assert (whole.status, whole.header("x-cache")) == (200, "hit")
    assert whole.json()["sources"] == ["a carter"]
    assert "rumour that is false" in model.calls[0]["messages"][0]["content"]
    described = service.call("GET", "/openapi.json").json()["paths"]
    assert "/api/v2/campaign/rumour" in described
    kept = service.call("GET", f"/api/v2/content/{streamed.turn_id}").json()
    assert kept["kind"] == "rumour"
    item = {"path": "/campaign/rumour", "body": BODY}
    assert service.call("POST", "/api/v2/batch", {"requests": [item]}).status == 200
    assert ask(service, "/campaign/rumour", {"place": 1}).status == 422


def test_the_offline_storyteller_answers_it_by_its_schema(seven: Callable[..., Served]) -> None:
    service = seven(openai_stub_mode=True, storyteller_tokens_per_second=0)
    answer = ask(service, "/campaign/rumour", BODY).json()
    assert answer["content"]
    assert answer["sources"]
    assert answer["metadata"]["model_used"] == "offline"


def test_every_kind_is_one_file_of_at_most_sixty_lines() -> None:
    (folder,) = app.content.kinds.__path__
    files = [path for path in Path(folder).glob("*.py") if path.name != "__init__.py"]
    assert len(files) == len(KINDS) == 6
    assert [path.name for path in files if len(path.read_text().splitlines()) > 60] == []
