"""What the folds read, pinned to the event types of the installed SDK."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from app.adapters.openai import responses as folds
from app.adapters.openai.chat import ChatParser
from app.adapters.openai.parsers import read_usage
from app.adapters.openai.responses import ResponsesParser
from app.core.results import Usage
from app.ports.model import FailureKind, ModelFailed
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseOutputMessage, ResponseStreamEvent
from openai_calls import APIS, Api
from pydantic import BaseModel, TypeAdapter

from fakes.model import ChatDialect, Json, ResponsesDialect, Script
from fakes.server import Request

SDK_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
# What the public API sends although the SDK has no field for it.
UNDOCUMENTED = {"obfuscation", "reasoning_content"}


def events(api: Api, script: Script) -> list[Json]:
    """A stream as the fake server writes it, which is as the API reference shows it."""
    body = b'{"stream": true, "stream_options": {"include_usage": true}}'
    request = Request(0, 0.0, "POST", "/", {}, {}, body, 0)
    dialect = ChatDialect(script, request) if api == "chat" else ResponsesDialect(script, request)
    frames = b"".join(frame for part in dialect.frames() for frame in part)
    found = [block.partition(b"data: ")[2] for block in frames.split(b"\n\n")]
    return [json.loads(data) for data in found if data and data != b"[DONE]"]


def typed(api: Api, event: Json) -> BaseModel:
    if api == "chat":
        return ChatCompletionChunk.model_validate(event, strict=True)
    found = SDK_EVENTS.validate_python(event)
    assert isinstance(found, BaseModel)
    return found


def strangers(value: Any) -> Iterator[str]:
    """Names of fields that the SDK's types do not have."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or {}
        for name in type(value).model_fields:
            yield from strangers(getattr(value, name, None))
    elif isinstance(value, list):
        for item in value:
            yield from strangers(item)


def fold(api: Api) -> ChatParser | ResponsesParser:
    return ChatParser("asked-for") if api == "chat" else ResponsesParser("asked-for")


SCRIPTS = [
    Script(reasoning="Hm, a bell."),
    Script(first_delta_null=True, usage=None),
    Script(finish="length"),
    Script(finish="content_filter"),
    Script(refusal="I will not."),
]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_the_streams_of_the_tests_are_made_of_the_sdks_own_types(api: Api, script: Script) -> None:
    for event in events(api, script):
        assert set(strangers(typed(api, event))) <= UNDOCUMENTED


def sdk_events(api: Api, script: Script) -> list[bytes]:
    """The events, read and written again by the SDK's types, without fields unknown to them."""
    typed_events = [typed(api, event) for event in events(api, script)]
    return [json.dumps(known(event)).encode() for event in typed_events]


def known(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: known(getattr(value, name, None)) for name in type(value).model_fields}
    return [known(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("together", [True, False], ids=["one read", "many reads"])
def test_a_stream_written_by_the_sdks_types_is_understood(api: Api, together: bool) -> None:
    script = Script(reasoning="Hm, a bell.", first_delta_null=True)
    found, reader = sdk_events(api, script), fold(api)
    reads = [found] if together else [[event] for event in found]
    assert "".join(text for read in reads for text in reader.feed(read)) == script.text
    assert reader.finished
    end = reader.end()
    deltas = len(script.text) // 4 + bool(len(script.text) % 4)
    thoughts = 3
    assert end.model == "fake-model"
    assert end.usage == Usage(
        model="fake-model",
        input_tokens=900,
        output_tokens=deltas + thoughts,
        total_tokens=900 + deltas + thoughts,
        reasoning_tokens=thoughts,
    )


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("script", SCRIPTS[2:], ids=["length", "content_filter", "refusal"])
def test_an_unusable_answer_written_by_the_sdks_types_is_a_failure(
    api: Api, script: Script
) -> None:
    reader = fold(api)
    with pytest.raises(ModelFailed) as caught:
        heard(reader, sdk_events(api, script))
    expected = FailureKind.CUT_OFF if script.finish == "length" else FailureKind.UNUSABLE
    assert caught.value.kind is expected


def heard(reader: ChatParser | ResponsesParser, found: list[bytes]) -> None:
    reader.feed(found)
    reader.end()


@pytest.mark.parametrize("how", ["error_after", "failed_after"])
def test_a_failure_in_mid_stream_written_by_the_sdks_types_is_a_failure(how: str) -> None:
    script = Script(**{how: 1}, error_body={"code": "server_error", "message": "SECRET"})  # type: ignore[arg-type]
    with pytest.raises(ModelFailed, match="server_error") as caught:
        heard(fold("responses"), sdk_events("responses", script))
    assert caught.value.kind is FailureKind.TRANSIENT  # its null phase has held the text back
    assert "SECRET" not in str(caught.value)


def event_types() -> set[str]:
    """Every `type` of the SDK's stream events."""
    union = get_args(ResponseStreamEvent)[0]
    return {get_args(event.model_fields["type"].annotation)[0] for event in get_args(union)}


def test_every_event_type_that_the_fold_names_exists_in_the_sdk() -> None:
    tree = ast.parse(inspect.getsource(folds))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    named = {text for text in texts if isinstance(text, str) and text.startswith("response.")}
    assert len(named - {"response."}) == 10
    assert named - {"response."} <= event_types()
    assert "error" in event_types()


def test_the_phase_of_a_message_exists_in_the_sdk() -> None:
    assert "commentary" in str(ResponseOutputMessage.model_fields["phase"].annotation)


def test_commentary_is_not_narrative() -> None:
    added = {"type": "response.output_item.added", "output_index": 0}
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "Let me see."}
    found = [
        {**added, "item": {"type": "message", "phase": "commentary"}},
        delta,
        {**added, "output_index": 1, "item": {"type": "message", "phase": "final_answer"}},
        {**delta, "output_index": 1, "delta": "A door."},
    ]
    assert ResponsesParser("m").feed([json.dumps(event).encode() for event in found]) == ["A door."]


def message(text: str, **fields: Any) -> Json:
    part = {"type": "output_text", "text": text}
    return {"type": "message", "content": [part], **fields}


def test_a_server_that_sends_its_text_only_at_the_end_is_understood() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        message("Let me see.", phase="commentary"),
        message("A door."),
    ]
    done = {"type": "response.completed", "response": {"status": "completed", "output": output}}
    assert ResponsesParser("m").feed([json.dumps(done).encode()]) == ["A door."]


@pytest.mark.parametrize("api", APIS)
def test_a_whole_answer_of_the_sdks_types_is_understood(api: Api) -> None:
    script = Script(reasoning="Hm, a bell.")
    request = Request(0, 0.0, "POST", "/", {}, {}, b"{}", 0)
    if api == "chat":
        whole: BaseModel = ChatCompletion.model_validate(ChatDialect(script, request).whole())
    else:
        whole = Response.model_validate(ResponsesDialect(script, request).whole())
    assert set(strangers(whole)) <= UNDOCUMENTED
    reader = fold(api)
    assert reader.whole(known(whole)) == script.text
    usage = reader.end().usage
    assert usage is not None
    assert usage.input_tokens == 900


@pytest.mark.parametrize("api", APIS)
def test_an_answer_without_its_end_is_broken(api: Api) -> None:
    found = sdk_events(api, Script(drop_after=2))
    with pytest.raises(ModelFailed, match="too early") as caught:
        heard(fold(api), found)
    assert caught.value.kind is FailureKind.BROKEN


@pytest.mark.parametrize("data", [b"nonsense", b"[]", b'"text"', b"{"])
@pytest.mark.parametrize("api", APIS)
def test_events_that_are_no_json_objects_are_a_failure(api: Api, data: bytes) -> None:
    with pytest.raises(ModelFailed) as caught:
        fold(api).feed([data])
    assert caught.value.kind is FailureKind.BROKEN


def read_all(api: Api, reads: list[list[bytes]]) -> tuple[str, bool, type[Exception] | None]:
    """The text of all reads up to the first failure, whether that was the end, and the failure."""
    reading, text = fold(api), ""
    try:
        for read in reads:
            text += "".join(reading.feed(read))
            if reading.failure is not None:
                raise reading.failure
            if reading.closed:
                break
    except Exception as failure:
        return text, reading.closed, type(failure)
    return text, reading.closed, None


STREAMED = {
    "chat": [
        b'{"choices": [{"delta": {"content": "The torch "}}]}',
        b'{"choices": [{"delta": {"content": "gutters."}, "finish_reason": "stop"}]}',
    ],
    "responses": [
        b'{"type": "response.output_text.delta", "output_index": 0, "delta": "The torch "}',
        b'{"type": "response.completed", "response": {"status": "completed"}}',
    ],
}
ODD = [b"[DONE]", b"{}", b"[]", b"3", b" ", b"nonsense", b'{"a": 1', b'"b": 2}', b'{"error": {}}']


@pytest.mark.parametrize("api", APIS)
@given(data=st.data())
def test_events_mean_the_same_together_and_one_by_one(api: Api, data: st.DataObject) -> None:
    usual, odd = st.sampled_from(STREAMED[api]), st.sampled_from(STREAMED[api] + ODD)
    found = data.draw(st.lists(usual, max_size=3)) + data.draw(st.lists(odd, max_size=3))
    assert read_all(api, [found]) == read_all(api, [[event] for event in found])


@pytest.mark.parametrize(
    "last",
    [
        b'{"choices": [{"delta": [], "finish_reason": "stop"}]}',
        b'{"choices": [{"delta": "", "finish_reason": "stop"}]}',
        b'{"choices": {}}\n\n',
        b'{"choices": [{"delta": null, "finish_reason": false}]}',
    ],
)
def test_odd_but_harmless_fields_fail_no_answer(last: bytes) -> None:
    reading = fold("chat")
    assert reading.feed([STREAMED["chat"][0], last]) == ["The torch "]
    assert reading.feed([STREAMED["chat"][1], b"[DONE]"]) == ["gutters."]
    reading.end()


@pytest.mark.parametrize("api", APIS)
def test_two_objects_in_one_event_are_a_failure(api: Api) -> None:
    with pytest.raises(ModelFailed, match="not JSON"):
        fold(api).feed([b"{},{}", b"{}"])


def test_cached_tokens_by_the_name_that_deepseek_gives_them() -> None:
    reported = {"prompt_tokens": 70, "completion_tokens": 30, "prompt_cache_hit_tokens": 64}
    usage = read_usage(reported, "prompt_tokens", "completion_tokens", "m")
    assert usage is not None
    assert usage.cached_tokens == 64
