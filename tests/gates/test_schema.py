"""schemathesis: requests made from the document, answers held to it, with the gates open and shut."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from descriptions import DOCUMENTS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, any_text
from passes import USER, WITH_SECRET, bearer, token
from serving import TIMEOUT, Served, turn_body

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


ENDLESS = [
    "/characters/{character_id}/events",
    "/api/sessions/{session_id}/events",
    "/hub/events",
]


def by_events(document: dict[str, Any]) -> dict[str, Any]:
    """With streams described by their events alone: the `schema` of their text, beside that of their
    events, is taken for a list of events."""
    described = copy.deepcopy(document)
    for endless in ENDLESS:  # see `test_matrix`
        del described["paths"][endless]
    for operation in described["paths"].values():
        for answer in (a for method in operation.values() for a in method["responses"].values()):
            answer.get("content", {}).get("text/event-stream", {}).pop("schema", None)
    return described


SCHEMA = schemathesis.openapi.from_dict(by_events(DOCUMENTS.openapi))
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
SCHEMA.config.max_stream_events = 10_000  # a turn has fewer: streams are read to their end
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
bounded = settings(
    max_examples=max(2, settings().max_examples // 13),
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class World:
    """The service, with a character and a finished turn of `user`."""

    def __init__(self, service: Served, journey_log: FakeJourneyLog, user: str) -> None:
        self.service = service
        self._session = requests.Session()
        self._session.trust_env = False
        self._character = journey_log.seed_character(user)
        body = turn_body(self._character)
        played = service.call("POST", "/turn", body, **bearer(token(sub=user)))
        self._turn = played.json()["turn_id"]

    def close(self) -> None:
        self._session.close()

    def make_real(self, case: AnyCase) -> None:
        """Names what exists, as its owner."""
        real = {"character_id": self._character, "turn_id": self._turn, "path": "play.css"}
        case.path_parameters.update(
            {name: real[name] for name in case.path_parameters if name in real}
        )
        if isinstance(case.body, dict) and "character_id" in case.body:
            case.body["character_id"] = self._character
        case.headers.pop("X-User-Id", None)

    def ask(self, case: AnyCase, **headers: str) -> Response:
        """One answer, held to the document."""
        answer = case.call(
            base_url=self.service.url, session=self._session, headers=headers, timeout=TIMEOUT
        )
        case.validate_response(answer, checks=CHECKS)
        return answer


@contextmanager
def world(store: Path, *, shut: bool) -> Iterator[World]:
    with FakeModel() as model, FakeJourneyLog() as journey_log:
        given_settings: dict[str, Any] = {
            "store_url": f"sqlite:///{store}",
            "openai_base_url": model.base_url,
            "journey_log_base_url": journey_log.url,
            "admin_endpoints_enabled": True,
            "enable_debug_endpoints": True,
            "max_turns_per_character_per_second": 100,
            "commit_timeout_seconds": 1,  # the stream of a turn that nobody commits ends then
            **(WITH_SECRET if shut else {}),
        }
        model.default = Script(text=any_text())
        with Served(**given_settings) as service:
            made = World(service, journey_log, USER if shut else "local")
            yield made
            made.close()


class Worlds(NamedTuple):
    """Two services, the second of which wants tokens."""

    open: World
    shut: World


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    folder = tmp_path_factory.mktemp("schema")
    with (
        world(folder / "open.db", shut=False) as unguarded,
        world(folder / "shut.db", shut=True) as guarded,
    ):
        yield Worlds(unguarded, guarded)


STRANGERS = [{}, bearer("x"), bearer(token(scope="nothing"))]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@every_operation
def test_answers_and_refusals_are_documented(
    worlds: Worlds, operation: Operation, mode: GenerationMode
) -> None:
    guarded = operation.definition.raw.get("security") != []

    # To draw a request takes several times as long as to have it answered: each is made three times.
    @given(
        case=operation.as_strategy(generation_mode=mode),
        real=st.booleans(),
        stranger=st.sampled_from(STRANGERS),
    )
    @bounded
    def held(case: AnyCase, real: bool, stranger: dict[str, str]) -> None:
        for world in worlds:
            if real:
                world.make_real(case)
            world.ask(case, **bearer(token()))
        if mode is GenerationMode.POSITIVE:
            answer = worlds.shut.ask(case, **stranger)
            assert not guarded or answer.status_code in (400, 401, 403)

    held()
