"""Whole turns over a model server with the habits of real servers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from app.telemetry.logs import configure_logging
from openai_calls import APIS, Api, error_body, raw_deltas

from fakes.journey_log import FakeJourneyLog
from fakes.model import NARRATIVE, POI_CREATE, FakeModel, Json, Script, cut, outcome, outcome_text
from serving import SOON, Served, Stream, turn_body

FIRE = "\U0001f525"
KEY = "sk-very-secret-key"


@dataclass
class Table:
    """One character's seat at a service that all tests of one API share."""

    service: Served
    model: FakeModel
    journey_log: FakeJourneyLog

    def __post_init__(self) -> None:
        self.character = self.journey_log.seed_character()
        self._before = len(self.model.calls)

    def play(self, *answers: Script) -> Stream:
        """A turn for which the model server answers so, and then as it always does."""
        self.model.then(*answers)
        return self.service.turn(self.character)

    @property
    def calls(self) -> list[Json]:
        return self.model.calls[self._before :]

    @property
    def streamed(self) -> list[bool]:
        """Of each call, whether it asked for a stream."""
        return [bool(call.get("stream")) for call in self.calls]

    @property
    def writes(self) -> list[Json | None]:
        return [row.body for row in self.journey_log.writes if row.character_id == self.character]

    def narrative_of(self, stream: Stream) -> str:
        """The narrative of a turn that went well: the one streamed is the one persisted."""
        assert (stream.status, stream.last["type"]) == (200, "complete"), stream.last
        assert [body and body["ai_response"] for body in self.writes] == [stream.narrative]
        indexes = [event["index"] for event in stream.of("token")]
        assert indexes == sorted(set(indexes))
        assert indexes[0] == 0
        return stream.narrative

    def failure(self, stream: Stream) -> dict[str, Any]:
        """The error of a turn that wrote nothing."""
        assert stream.last["type"] == "error"
        assert (self.writes, stream.last["committed"]) == ([], [])
        return stream.last


@pytest.fixture(scope="module", params=APIS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, FakeModel, FakeJourneyLog]]:
    settings = {
        "llm_api": request.param,
        "store_url": f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db",
        "openai_api_key": KEY,
        "llm_max_retries": 1,
        "llm_retry_delay_base": 0.1,
        "quest_trigger_prob": 0,
        "poi_trigger_prob": 0,
        "max_streams_per_client": 1000,
    }
    with FakeModel() as model, FakeJourneyLog() as journey_log:
        addresses = {"openai_base_url": model.base_url, "journey_log_base_url": journey_log.url}
        with Served(timeout=SOON, **settings, **addresses) as service:
            yield service, model, journey_log


@pytest.fixture
def table(served: tuple[Served, FakeModel, FakeJourneyLog]) -> Iterator[Table]:
    found = Table(*served)
    yield found
    assert found.model.unused == 0, "the model was asked less often than the test says"


REVERSED = json.dumps(dict(reversed(outcome(poi=POI_CREATE).items())), ensure_ascii=False)
TEXTS = {
    "as asked": outcome_text(),
    "escaped": outcome_text(ensure_ascii=True),
    "a code fence": f"```json\n{outcome_text()}\n```",
    "prose around": f"Sure! Here is it <as asked>:\n\n{outcome_text()}\n\nHave fun {{hero}}!",
    "a think block": f'<think>{{"narrative": "draft"}}</think>\n{outcome_text()}',
    "THINK and a fence": f"\n<THINK>Hm.</THINK>\n```\n{outcome_text()}\n```",
    "prose and a think block": f"Well. <thinking>{{}}</thinking>{outcome_text()}",
    "intents first": REVERSED,
    "raw line breaks": outcome_text("a\nb", ensure_ascii=False).replace("\\n", "\n"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("size", [1, 5])
def test_the_narrative_is_found_whatever_the_model_puts_around_it(
    table: Table, name: str, size: int
) -> None:
    stream = table.play(Script(TEXTS[name], token_chars=size))
    assert table.narrative_of(stream) == ("a\nb" if "raw" in name else NARRATIVE)


WIRES = {
    "reasoning and null deltas": Script(reasoning="PRIVATE", first_delta_null=True),
    "no [DONE]": Script(send_done=False),
    "byte by byte": Script(split_bytes=1, per_write=0),
    "CRLF and comments": Script(crlf=True, comments=True, split_bytes=3, per_write=0),
    "a whole answer": Script(ignores_stream=True),
    "all in one write": Script(per_write=0),
}


@pytest.mark.parametrize("name", WIRES)
def test_the_narrative_is_found_however_the_server_sends_it(table: Table, name: str) -> None:
    stream = table.play(WIRES[name])
    assert table.narrative_of(stream) == NARRATIVE
    assert b"PRIVATE" not in stream.body


def test_surrogate_halves_across_deltas_reach_the_players_as_characters(table: Table) -> None:
    deltas = ['{"narrative": "a', "\ud83d", "\udd25b\ud83d", 'c", "intents": {}}']
    api: Api = table.service.settings.resolved_llm_api
    stream = table.play(Script(raw_stream=raw_deltas(api, *deltas)))
    assert table.narrative_of(stream) == f"a{FIRE}b\ufffdc"


def test_escaped_halves_across_deltas_reach_the_players_as_characters(table: Table) -> None:
    text = '{"narrative": "a\\ud83d\\udd25b\\ud83dc", "intents": {}}'
    stream = table.play(Script(text, token_chars=1))
    assert table.narrative_of(stream) == f"a{FIRE}b\ufffdc"


BREAKS = {
    "an error object": {"error_after": 12},
    "FIN": {"drop_after": 12},
    "RST": {"reset_after": 12},
}


@pytest.mark.parametrize("how", BREAKS)
def test_stream_broken_after_the_first_word_is_an_error_with_the_partial_narrative(
    table: Table, how: str
) -> None:
    stream = table.play(Script(**BREAKS[how]))  # type: ignore[arg-type]
    error = table.failure(stream)
    assert error["error_type"] == "llm_error"
    assert error["partial_narrative"] == stream.narrative
    assert NARRATIVE.startswith(stream.narrative)
    assert stream.narrative
    assert len(table.calls) == 1


EARLY = {
    "an error object": {"error_after": 2},
    "FIN": {"drop_after": 2},
    "RST": {"reset_after": 2},
    "no answer at all": {"raw_stream": b": hm\n\n"},
    "an end without text": {"text": ""},
    "an empty body": {"raw_stream": b"", "headers": {"content-type": "application/json"}},
}


@pytest.mark.parametrize("how", EARLY)
def test_stream_broken_before_the_first_word_is_tried_once_without_streaming(
    table: Table, how: str
) -> None:
    stream = table.play(Script(**EARLY[how]))  # type: ignore[arg-type]
    assert table.narrative_of(stream) == NARRATIVE
    assert table.streamed == [True, False]
    assert len(stream.of("token")) == 1


UNUSABLE = {
    "length": {"text": outcome_text()[:-20], "finish": "length"},
    "content_filter": {"text": outcome_text()[:-20], "finish": "content_filter"},
    "incomplete": {"incomplete_after": 12},
    "refusal": {"refusal": "I will not."},
    "no end": {"text": '{"narrative": "The torch gutters.", "int'},
}


@pytest.mark.parametrize("how", UNUSABLE)
def test_an_unusable_answer_is_an_error_that_writes_nothing_and_is_not_tried_again(
    table: Table, how: str
) -> None:
    stream = table.play(Script(**UNUSABLE[how]))  # type: ignore[arg-type]
    error = table.failure(stream)
    assert (error["error_type"], error["recoverable"]) == ("llm_response_error", False)
    assert error.get("partial_narrative", "") == stream.narrative
    assert len(table.calls) == 1


def test_a_server_that_never_answers_is_a_timeout(table: Table) -> None:
    error = table.failure(table.play(Script(hang=True), Script(hang=True)))
    assert (error["error_type"], error["recoverable"]) == ("llm_timeout", True)
    assert len(table.calls) == 2


def test_server_that_falls_silent_in_mid_answer_is_a_timeout_with_the_partial_narrative(
    table: Table,
) -> None:
    stream = table.play(Script(hang_after=12))
    error = table.failure(stream)
    assert (error["error_type"], error["partial_narrative"]) == ("llm_timeout", stream.narrative)
    assert stream.narrative
    assert len(table.calls) == 1


@pytest.mark.parametrize(
    ("status", "calls"), [(401, 1), (403, 1), (404, 1), (429, 2), (502, 2), (503, 2)]
)
def test_a_refused_call_is_tried_again_only_if_it_may_pass(
    table: Table, status: int, calls: int
) -> None:
    logged = io.StringIO()
    configure_logging(level="INFO", json=True, service="t", environment="t", stream=logged)
    body = error_body(f"Incorrect API key provided: {KEY}")
    stream = table.play(*[Script(status=status, error_body=body)] * calls)
    assert table.failure(stream)["error_type"] == "llm_error"
    assert len(table.calls) == calls
    assert KEY.encode() not in stream.body
    said = logged.getvalue()
    assert "llm_error" in said
    assert KEY not in said


def test_an_exhausted_quota_is_not_tried_again(table: Table) -> None:
    body = error_body("You exceeded your quota", code="insufficient_quota")
    table.failure(table.play(Script(status=429, error_body=body)))
    assert len(table.calls) == 1


def test_a_failure_that_passes_is_not_seen_by_the_players(table: Table) -> None:
    assert table.narrative_of(table.play(Script(status=503))) == NARRATIVE
    assert len(table.calls) == 2


@pytest.mark.parametrize("own_api", APIS)
def test_answer_of_a_server_without_streaming_is_one_token_event(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog, own_api: Api
) -> None:
    refused = Script(status=400, error_body=error_body("Streaming is not supported"))
    model.default = lambda request: refused if request.json().get("stream") else Script()
    table = Table(serve(llm_api=own_api), model, journey_log)
    for _ in range(2):
        stream = table.play()
        assert [event["content"] for event in stream.of("token")] == [NARRATIVE]
        assert stream.last["type"] == "complete"
    assert table.streamed == [True, False, False]


def test_reported_usage_is_passed_on_unchanged(table: Table) -> None:
    usage = table.play().last["usage"]
    deltas = len(cut(outcome_text(), 4))
    assert usage == {
        "model": table.calls[0]["model"],
        "input_tokens": 900,
        "output_tokens": deltas,
        "total_tokens": 900 + deltas,
        "estimated": False,
    }


def test_missing_usage_is_estimated_and_says_so(table: Table) -> None:
    usage = table.play(Script(usage=None)).last["usage"]
    assert usage["estimated"] is True
    assert usage["output_tokens"] == len(outcome_text()) // 4
    assert usage["input_tokens"] > 300
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_total_tokens_counts_the_deltas_received(table: Table) -> None:
    timing = table.play().last["timing"]
    assert timing["total_tokens"] == len(cut(outcome_text(), 4))


def test_the_request_id_and_the_trace_go_on_to_the_model(table: Table) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = turn_body(table.character)
    sent = {"X_Request_Id": "my-request", "traceparent": trace}
    table.service.stream("POST", "/turn/stream", body, **sent)
    headers = table.model.requests[-1].headers
    assert headers["x-request-id"] == "my-request"
    assert headers["traceparent"].split("-")[1] == trace.split("-")[1]
