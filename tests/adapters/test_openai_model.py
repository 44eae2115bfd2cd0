"""The adapter against a real server with the habits of real servers, over both APIs."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace

import pytest
from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.reading import TokenTimeouts
from app.core.outcome_schema import OUTCOME_JSON_SCHEMA
from app.errors import LLMResponseError
from app.ports.model import FailureKind, Flow
from openai_calls import (
    APIS,
    KEY,
    META,
    PROMPT,
    REQUEST,
    Answer,
    Api,
    ask,
    ask_whole,
    complete,
    error_body,
    raw_deltas,
    sse,
    stream,
    using,
)

from fakes.model import MODEL, FakeModel, Json, Script, outcome_text
from fakes.model import Usage as Counted
from fakes.server import Request

pytestmark = pytest.mark.parametrize("api", APIS)
TEXT = outcome_text()


def both(server: FakeModel, api: Api, script: Script) -> Iterator[Answer]:
    yield ask(server, api, script)
    yield ask_whole(server, api, script)


# -- answers --------------------------------------------------------------------------------------


def test_deltas_come_as_they_were_sent_then_one_end(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(pieces=["{", '"narrative": ', '"é\U0001f525"}']))
    assert [text for read in answer.reads for text in read] == [
        "{",
        '"narrative": ',
        '"é\U0001f525"}',
    ]
    assert answer.end is not None
    assert answer.end.model == MODEL
    assert len(model.calls) == 1


def test_deltas_of_one_read_are_given_in_one_piece(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(pieces=["a", "b", "c", "d"], per_write=4))
    assert ["a", "b", "c", "d"] in answer.reads


def test_the_first_delta_is_given_while_the_server_still_thinks(model: FakeModel, api: Api) -> None:
    gate = threading.Event()
    model.then(Script(pieces=["first", "second"], gate=gate, gate_after=1))

    heard: list[list[str]] = []

    def hear(deltas: list[str]) -> Flow:
        heard.append(deltas)
        gate.set()
        return Flow.STREAM

    using(model, api, lambda openai: openai.stream(REQUEST, hear))
    assert heard[0] == ["first"]


def test_usage_is_what_the_provider_counted(model: FakeModel, api: Api) -> None:
    for answer in both(model, api, Script(usage=Counted(70, 30, cached=5, reasoning=10))):
        assert answer.end is not None
        assert answer.end.usage is not None
        counted = answer.end.usage.model_dump(exclude={"model"})
        assert counted == {
            "input_tokens": 70,
            "output_tokens": 30,
            "total_tokens": 100,
            "cached_tokens": 5,
            "reasoning_tokens": 10,
            "estimated": False,
        }


def test_no_usage_is_none(model: FakeModel, api: Api) -> None:
    for answer in both(model, api, Script(usage=None)):
        assert answer.end is not None
        assert answer.end.usage is None
        assert answer.text == TEXT


QUIRKS = {
    "reasoning first": Script(reasoning="The player is lost. Offer a door."),
    "a null delta first": Script(first_delta_null=True),
    "reasoning and null": Script(reasoning="Hm.", first_delta_null=True),
    "no [DONE]": Script(send_done=False),
    "CRLF": Script(crlf=True),
    "comments": Script(comments=True),
    "CRLF and comments": Script(crlf=True, comments=True),
    "one token a character": Script(token_chars=1, per_write=9),
    "all in one write": Script(per_write=0),
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_the_habits_of_servers_change_nothing(model: FakeModel, api: Api, quirk: str) -> None:
    answer = ask(model, api, QUIRKS[quirk])
    assert (answer.failure, answer.text) == (None, TEXT)
    assert answer.end is not None


@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("crlf", [False, True])
def test_bytes_cut_anywhere_change_nothing(
    model: FakeModel, api: Api, size: int, crlf: bool
) -> None:
    text = outcome_text("é\U0001f525\n—" * 2)
    script = Script(text, split_bytes=size, crlf=crlf, comments=True, token_chars=9, per_write=0)
    assert ask(model, api, script).text == text


def test_reasoning_is_never_text(model: FakeModel, api: Api) -> None:
    for answer in both(model, api, Script(reasoning="PRIVATE")):
        assert answer.text == TEXT


def test_empty_and_null_deltas_are_no_deltas(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(raw_stream=raw_deltas(api, None, "", "a", None, "b", "")))
    assert answer.failure is None
    assert [text for read in answer.reads for text in read] == ["a", "b"]


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (["\ud83d", "\udd25"], "\U0001f525"),
        (["a\ud83d", "\udd25b"], "a\U0001f525b"),
        (["\ud83d", "x"], "\ufffdx"),
        (["\udd25"], "\ufffd"),
    ],
)
def test_surrogate_halves_across_deltas_become_characters(
    model: FakeModel, api: Api, deltas: list[str], expected: str
) -> None:
    answer = ask(model, api, Script(raw_stream=raw_deltas(api, *deltas)))
    assert (answer.failure, answer.joined) == (None, expected)


def test_a_whole_answer_to_a_stream_request_is_taken(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(ignores_stream=True))
    assert (answer.text, answer.failure) == (TEXT, None)
    assert answer.end is not None
    assert answer.end.usage is not None
    assert len(model.calls) == 1


def test_answer_without_streaming_is_read_whole(model: FakeModel, api: Api) -> None:
    answer = ask_whole(model, api, Script(reasoning="Hm."))
    assert (answer.text, answer.failure) == (TEXT, None)
    assert not model.calls[0].get("stream")


def test_a_server_that_said_everything_and_forgets_to_hang_up_is_believed(
    model: FakeModel, api: Api
) -> None:
    said = raw_deltas(api, "a").replace(b"data: [DONE]\n\n", b"")
    answer = ask(model, api, Script(raw_stream=said, hang_after=1), timeout=0.3)
    assert (answer.text, answer.failure) == ("a", None)


def test_the_end_is_not_waited_for_once_it_was_announced(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(raw_stream=raw_deltas(api, "a"), hang_after=1), timeout=300)
    assert (answer.text, answer.failure) == ("a", None)


@pytest.mark.parametrize("how", ["drop_after", "reset_after"])
def test_a_cut_behind_the_end_is_no_failure(model: FakeModel, api: Api, how: str) -> None:
    said = raw_deltas(api, "a").replace(b"data: [DONE]\n\n", b"")
    answer = ask(model, api, Script(raw_stream=said, **{how: 1}))  # type: ignore[arg-type]
    assert (answer.text, answer.failure) == ("a", None)


# -- failures -------------------------------------------------------------------------------------


def test_an_error_inside_a_200_is_a_broken_stream(model: FakeModel, api: Api) -> None:
    body = {"code": "overloaded", "message": "SECRET of the provider"}
    answer = ask(model, api, Script(error_after=2, error_body=body))
    assert answer.text == TEXT[:8]
    assert answer.failed.kind == FailureKind.BROKEN
    assert "overloaded" in str(answer.failed)
    assert "SECRET" not in str(answer.failed)


@pytest.mark.parametrize(
    "error", [{"message": "x"}, "it broke", {"code": 500}, {"code": {"a": 1}}, ["x"]]
)
def test_an_error_object_of_any_shape_before_any_text_may_pass(
    model: FakeModel, api: Api, error: object
) -> None:
    answer = ask(model, api, Script(raw_stream=sse({"error": error})))
    assert answer.failed.kind == FailureKind.TRANSIENT


@pytest.mark.parametrize(
    ("finish", "kind", "words"),
    [
        ("length", FailureKind.CUT_OFF, "cut off"),
        ("content_filter", FailureKind.UNUSABLE, "content filter"),
    ],
)
def test_truncated_and_filtered_answers_are_reported_as_such(
    model: FakeModel, api: Api, finish: str, kind: FailureKind, words: str
) -> None:
    for answer in both(model, api, Script(finish=finish)):
        assert answer.failed.kind == kind
        assert words in str(answer.failed)


def test_an_incomplete_answer_is_cut_off(model: FakeModel, api: Api) -> None:
    assert ask(model, api, Script(incomplete_after=3)).failed.kind == FailureKind.CUT_OFF


def test_refusal_is_unusable_and_its_text_is_not_repeated(model: FakeModel, api: Api) -> None:
    for answer in both(model, api, Script(refusal="I will not speak of SECRETS.")):
        assert answer.failed.kind == FailureKind.UNUSABLE
        assert "SECRETS" not in str(answer.failed)
        assert answer.text == ""


@pytest.mark.parametrize("how", ["drop_after", "reset_after"])
def test_a_connection_cut_in_mid_answer_is_a_broken_stream(
    model: FakeModel, api: Api, how: str
) -> None:
    answer = ask(model, api, Script(**{how: 3}))  # type: ignore[arg-type]
    assert answer.failed.kind == FailureKind.BROKEN
    assert TEXT.startswith(answer.text)


@pytest.mark.parametrize("how", ["drop_after", "reset_after"])
def test_a_connection_cut_inside_a_character_is_a_broken_stream(
    model: FakeModel, api: Api, how: str
) -> None:
    cut = raw_deltas(api, "x").partition(b"}")[0] + b"\xf0\x9f"
    answer = ask(model, api, Script(raw_stream=cut, **{how: 1}))  # type: ignore[arg-type]
    assert answer.failed.kind == FailureKind.BROKEN
    assert answer.text == ""


def test_a_stream_that_ends_without_its_end_is_broken(model: FakeModel, api: Api) -> None:
    said = raw_deltas(api, "a").partition(b"\n\n")[0] + b"\n\n"
    answer = ask(model, api, Script(raw_stream=said))
    assert answer.failed.kind == FailureKind.BROKEN
    assert answer.text == "a"


@pytest.mark.parametrize(
    "body", [b"", b"<html>It works!</html>", b"data: {}\n\n", b"data: nonsense\n\n"]
)
def test_a_200_that_is_no_answer_is_a_broken_stream(
    model: FakeModel, api: Api, body: bytes
) -> None:
    assert ask(model, api, Script(raw_stream=body)).failed.kind == FailureKind.BROKEN


@pytest.mark.parametrize(
    "event",
    [
        {"choices": 5, "type": "response.completed", "response": 5},
        {"choices": [5], "type": "response.output_text.delta"},
        {"choices": [{"delta": 5}], "type": "response.completed", "response": {"output": 7}},
    ],
)
def test_events_of_an_unknown_shape_are_a_broken_stream(
    model: FakeModel, api: Api, event: Json
) -> None:
    assert ask(model, api, Script(raw_stream=sse(event))).failed.kind == FailureKind.BROKEN


def test_a_server_that_never_answers_is_a_timeout_that_may_pass(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(hang=True), timeout=0.2)
    assert answer.failed.kind == FailureKind.TIMED_OUT
    assert len(model.calls) == 1


def test_a_server_that_falls_silent_in_mid_answer_is_a_timeout(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(hang_after=2), timeout=0.2)
    assert answer.failed.kind == FailureKind.STALLED
    assert answer.text == TEXT[:8]


@pytest.mark.parametrize("after", [0, 2], ids=["to the first token", "between two"])
def test_signs_of_life_are_no_tokens(model: FakeModel, api: Api, after: int) -> None:
    waits = TokenTimeouts(0.3, 30) if after == 0 else TokenTimeouts(30, 0.3)
    model.then(Script(hang_after=after, keep_alive=0.05))
    answer = using(model, api, stream, timeouts=waits)
    assert answer.failed.kind == FailureKind.STALLED
    assert answer.text == TEXT[: 4 * after]


def test_the_wait_for_the_head_is_part_of_the_wait_for_the_first_token(
    model: FakeModel, api: Api
) -> None:
    model.then(Script(hang=True))
    answer = using(model, api, stream, timeouts=TokenTimeouts(0.2, 30))
    assert answer.failed.kind == FailureKind.TIMED_OUT


@pytest.mark.parametrize(
    "script",
    [Script(pace=0.05), Script(pace=0.05, reasoning="I think about it. " * 8)],
    ids=["text", "private reasoning"],
)
def test_each_token_has_its_own_wait(model: FakeModel, api: Api, script: Script) -> None:
    model.then(replace(script, token_chars=16))
    answer = using(model, api, stream, timeouts=TokenTimeouts(0.3, 0.3))
    assert answer.text == TEXT


def test_a_longer_wait_between_tokens_holds_beside_a_shorter_one_to_the_first(
    model: FakeModel, api: Api
) -> None:
    model.then(Script(pace=0.6, pieces=[TEXT[:9], TEXT[9:]]))
    answer = using(model, api, stream, timeouts=TokenTimeouts(0.3, 30))
    assert answer.text == TEXT


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(hang=True), FailureKind.TIMED_OUT),
        (Script(hang_after=2), FailureKind.TIMED_OUT),
        (Script(drop_after=2), FailureKind.TRANSIENT),
        (Script(reset_after=2), FailureKind.TRANSIENT),
        (Script(error_after=2), FailureKind.TRANSIENT),
    ],
    ids=["deaf", "silent in mid-answer", "FIN", "RST", "error object"],
)
def test_a_whole_answer_can_break_in_the_same_ways(
    model: FakeModel, api: Api, script: Script, expected: FailureKind
) -> None:
    answer = ask_whole(model, api, script, timeout=0.3)
    assert answer.failed.kind == expected


def test_a_server_that_is_not_there_cannot_be_reached(model: FakeModel, api: Api) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        answer = using(model, api, stream, base_url=address)
    assert answer.failed.kind == FailureKind.TRANSIENT


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (408, True),
        (409, True),
        (413, False),
        (422, False),
        (429, True),
        (500, True),
        (502, True),
        (503, True),
    ],
)
def test_a_refused_request_may_pass_or_not(
    model: FakeModel, api: Api, status: int, transient: bool
) -> None:
    model.default = Script(status=status, error_body=error_body("SECRET"))
    streamed, whole = using(model, api, stream), using(model, api, complete)
    if streamed.failed.kind is not FailureKind.CANNOT_STREAM:  # which the whole answer finds out
        assert streamed.failed.kind is whole.failed.kind
        assert streamed.failed.upstream == whole.failed.upstream
    assert whole.failed.kind == (FailureKind.TRANSIENT if transient else FailureKind.REFUSED)
    assert "SECRET" not in str(whole.failed) + str(streamed.failed)
    assert whole.failed.upstream is not None
    assert whole.failed.upstream.status == status


def test_an_empty_purse_does_not_fill_by_trying_again(model: FakeModel, api: Api) -> None:
    body = error_body("You exceeded your current quota", code="insufficient_quota")
    answer = ask(model, api, Script(status=429, error_body=body, headers={"retry-after": "1"}))
    assert answer.failed.kind == FailureKind.REFUSED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("inf", None),
        ("nan", None),
    ],
)
def test_retry_after_is_passed_on(
    model: FakeModel, api: Api, value: str, seconds: float | None
) -> None:
    answer = ask(model, api, Script(status=429, headers={"retry-after": value}))
    assert answer.failed.retry_after == seconds


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"{", b"[]", b'"x"', b"null"])
def test_an_error_page_of_any_kind_is_a_refusal(model: FakeModel, api: Api, body: bytes) -> None:
    answer = ask(model, api, Script(status=502, error_body=body))
    assert answer.failed.kind == FailureKind.TRANSIENT


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(model: FakeModel, api: Api, status: int) -> None:
    with FakeModel() as elsewhere:
        away = {"location": f"{elsewhere.base_url}/chat/completions"}
        answer = ask(model, api, Script(status=status, headers=away))
        assert elsewhere.requests == []
    assert answer.failure is not None
    assert len(model.calls) == 1


# -- requests -------------------------------------------------------------------------------------


def test_request_holds_the_prompt_and_the_form_of_the_answer(model: FakeModel, api: Api) -> None:
    ask(model, api, Script())
    body = model.calls[0]
    assert body["model"] == MODEL
    assert body["stream"] is True
    if api == "chat":
        form = body["response_format"]["json_schema"]
        assert body["stream_options"] == {"include_usage": True}
        assert [row["content"] for row in body["messages"]] == [
            row.content for row in PROMPT.messages
        ]
    else:
        form = body["text"]["format"]
        assert body["store"] is False
        assert (body["instructions"], body["input"]) == tuple(
            row.content for row in PROMPT.messages
        )
    assert body["prompt_cache_key"] == PROMPT.cache_key
    assert form["strict"] is True
    assert form["schema"] == OUTCOME_JSON_SCHEMA
    assert list(form["schema"]["properties"]) == ["narrative", "intents"]


def test_request_id_trace_and_key_are_sent(model: FakeModel, api: Api) -> None:
    list(both(model, api, Script()))
    for request in model.requests:
        assert request.headers["x-request-id"] == META.request_id
        assert request.headers["traceparent"] == META.traceparent
        assert request.headers["authorization"] == f"Bearer {KEY}"


REFUSED_EXTRAS = {
    "chat": {
        "response_format": "response_format",
        "json_schema": "response_format",
        "stream_options": "stream_options",
    },
    "responses": {"'store'": "store", "text.format": "text"},
}


def fussy(field: str, message: str, status: int = 400) -> FakeModel:
    """A server that refuses every request which has this field."""

    def answer(request: Request) -> Script:
        refused = Script(status=status, error_body=error_body(message))
        return refused if request.json().get(field) is not None else Script()

    return FakeModel(answer)


@pytest.mark.parametrize("status", [400, 422])
def test_a_part_that_the_server_refuses_is_left_out_and_that_is_remembered(
    api: Api, status: int
) -> None:
    for word, name in REFUSED_EXTRAS[api].items():
        with fussy(name, f"Unsupported parameter: {word}", status) as server:
            first, second = using(server, api, twice)
            assert (first.text, second.text) == (TEXT, TEXT)
            forms = [name in call for call in server.calls]
            assert forms[-2:] == [False, False]
            assert all(forms[:-2])


async def twice(openai: OpenAIModel) -> tuple[Answer, Answer]:
    return await stream(openai), await stream(openai)


def test_several_refused_parts_are_left_out_one_after_another(api: Api) -> None:
    extras = REFUSED_EXTRAS[api]

    def answer(request: Request) -> Script:
        for word, name in extras.items():
            if name in request.json():
                return Script(status=400, error_body=error_body(f"unknown field {word}"))
        return Script()

    with FakeModel(answer) as server:
        assert using(server, api, stream).text == TEXT
        assert not set(extras.values()) & server.calls[-1].keys()


def test_calls_that_are_refused_at_the_same_time_all_go_on(api: Api) -> None:
    word, name = next(iter(REFUSED_EXTRAS[api].items()))
    gate = threading.Event()

    def answer(request: Request) -> Script:
        refused = Script(status=400, error_body=error_body(f"unknown field {word}"))
        return refused if name in request.json() else Script(gate=gate)

    async def three(openai: OpenAIModel) -> list[Answer]:
        calls = [asyncio.create_task(stream(openai)) for _ in range(3)]
        await server.eventually(lambda: sum(name not in call for call in server.calls) == 3)
        gate.set()
        return await asyncio.gather(*calls)

    with FakeModel(answer) as server:
        assert [each.text for each in using(server, api, three)] == [TEXT] * 3


def test_a_full_context_is_not_answered_by_leaving_parts_out(model: FakeModel, api: Api) -> None:
    answer = ask(model, api, Script(status=400, error_body=error_body("The prompt is too long.")))
    assert answer.failed.kind == FailureKind.CONTEXT_FULL
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    "message",
    ["stream is not supported", "Streaming is not supported by this model.", "Cannot be streamed"],
)
def test_a_server_that_cannot_stream_says_so_once(api: Api, message: str) -> None:
    refused = Script(status=400, error_body=error_body(message))
    with FakeModel(lambda request: refused if request.json()["stream"] else Script()) as server:
        first, whole, second, again = using(server, api, stream_and_complete)
        assert first.failed.kind == second.failed.kind == FailureKind.CANNOT_STREAM
        assert whole.text == again.text == TEXT
        assert [bool(call.get("stream")) for call in server.calls] == [True, False, False]


async def stream_and_complete(openai: OpenAIModel) -> tuple[Answer, Answer, Answer, Answer]:
    first, whole = await stream(openai), await complete(openai)
    return first, whole, await stream(openai), await complete(openai)


def test_a_refusal_that_only_mentions_streams_is_not_remembered(model: FakeModel, api: Api) -> None:
    refused = Script(status=404, error_body=error_body("The model 'quick-stream' does not exist"))
    model.then(refused, refused, Script())
    first, whole, second, _ = using(model, api, stream_and_complete)
    assert first.failed.kind == FailureKind.CANNOT_STREAM
    assert whole.failed.kind == FailureKind.REFUSED
    assert second.text == TEXT


# -- secrets and connections ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_the_key_is_in_no_error_and_no_log(
    model: FakeModel, api: Api, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="openai")
    body = error_body(f"Incorrect API key provided: {KEY}", code="invalid_api_key")
    model.default = Script(status=status, error_body=body)
    for answer in (using(model, api, stream), using(model, api, complete)):
        assert KEY not in "".join(traceback.format_exception(answer.failed))
    assert caplog.records, "nothing was logged at all"
    assert KEY not in caplog.text


def test_leaving_a_stream_closes_its_connection(model: FakeModel, api: Api) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=2))

    async def leave(openai: OpenAIModel) -> None:
        heard = asyncio.Event()

        def hear(deltas: list[str]) -> Flow:
            heard.set()
            return Flow.STREAM

        streaming = asyncio.create_task(openai.stream(REQUEST, hear))
        await heard.wait()
        streaming.cancel()
        await model.eventually(lambda: model.stats.aborted == 1)

    using(model, api, leave)


@pytest.mark.parametrize("error", [LLMResponseError("too long"), KeyError("ours")], ids=repr)
def test_error_of_the_listener_ends_the_call_and_is_raised(
    model: FakeModel, api: Api, error: Exception
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=2))

    def refuse(deltas: list[str]) -> Flow:
        raise error

    async def work(openai: OpenAIModel) -> None:
        with pytest.raises(type(error)) as caught:
            await openai.stream(REQUEST, refuse)
        assert caught.value is error
        await model.eventually(lambda: model.stats.aborted == 1)

    using(model, api, work)


def test_connections_are_kept_and_used_again(model: FakeModel, api: Api) -> None:
    using(model, api, twice)
    assert (len(model.calls), model.accepted) == (2, 1)


def test_model_is_available_as_long_as_its_last_request_reached_the_server(api: Api) -> None:
    async def states(openai: OpenAIModel) -> list[bool]:
        found = [await openai.available()]
        await stream(openai)
        found.append(await openai.available())
        server.then(Script(status=500))
        await stream(openai)
        found.append(await openai.available())
        await asyncio.to_thread(server.close)
        await stream(openai)
        return [*found, await openai.available()]

    server = FakeModel().start()
    assert using(server, api, states) == [True, True, True, False]
