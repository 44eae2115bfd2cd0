"""The paths of other people's front ends over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, gated, outcome_text
from serving import Reply, Served, aside, refused, refused_to_sdk

Serve = Callable[..., Served]
Json = dict[str, Any]
UNKNOWN = "0190a5b0-7e1c-7000-8000-00000000000a"
CHAT = "/v1/chat/completions"


def user(text: str, name: str = "message-1", **fields: Any) -> Json:
    return {"id": name, "role": "user", "content": text, **fields}


def assistant(text: str, name: str = "answer-1") -> Json:
    return {"id": name, "role": "assistant", "content": text}


def run(*messages: Json, **fields: Any) -> Json:
    return {"threadId": "thread-1", "runId": "run-1", "messages": list(messages), **fields}


def chat(*messages: Json, **fields: Any) -> Json:
    parts = [
        {**one, "parts": [{"type": "text", "text": one["content"]}], "content": None}
        for one in messages
    ]
    return {"id": "chat-1", "messages": parts, "trigger": "submit-message", **fields}


def completion(character: str, *messages: Json, **fields: Any) -> Json:
    model = f"dungeon-master/{character}"
    return {"model": model, "stream": True, "messages": list(messages), **fields}


def datas(stream: Reply) -> list[Json]:
    lines = [line[6:] for line in stream.body.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def text_of(stream: Reply) -> str:
    text = ""
    for one in datas(stream):
        text += one.get("delta", "")
        for choice in one.get("choices", []):
            text += choice["delta"].get("content", "")
    return text


def turns_of(service: Served, character: str) -> list[Json]:
    found: list[Json] = service.call("GET", f"/characters/{character}/turns").json()["turns"]
    return found


def narrative(service: Served, turn_id: str) -> str:
    return str(service.call("GET", f"/turns/{turn_id}").json()["narrative"])


PATHS: dict[str, Callable[[str], tuple[str, Json]]] = {
    "ag-ui": lambda character: (f"/ag-ui/{character}", run(user("I knock."))),
    "ai-sdk": lambda character: (f"/ai-sdk/{character}", chat(user("I knock."))),
    "openai": lambda character: (CHAT, completion(character, user("I knock."))),
}
every_path = pytest.mark.parametrize("name", PATHS)


# -- all of them ----------------------------------------------------------------------------------


@every_path
def test_a_message_is_a_turn_and_the_same_message_is_the_same_turn(
    service: Served, character: str, name: str
) -> None:
    path, body = PATHS[name](character)
    first = service.stream("POST", path, body)
    assert first.status == 200
    assert (first.header("content-type") or "").startswith("text/event-stream")
    assert text_of(first) == narrative(service, first.turn_id) != ""
    assert first.header("location") == f"/turns/{first.turn_id}/events?dialect={name}"
    again = service.stream("POST", path, body)
    assert (again.turn_id, again.body) == (first.turn_id, first.body)
    replay = service.stream("GET", first.header("location") or "")
    assert datas(replay) == datas(first)
    assert [one["user_action"] for one in turns_of(service, character)] == ["I knock."]


@every_path
def test_the_events_of_a_running_turn_are_shared(
    service: Served, model: FakeModel, character: str, name: str
) -> None:
    path, body = PATHS[name](character)
    with gated(model) as gate, service.open("POST", path, body) as response:
        while b"Rain" not in (line := response.readline()):
            assert line
        joined = aside(service.stream, "POST", path, body)
        gate.set()
        response.read()
    assert text_of(joined.result()) == "Rain drums on the roof."
    assert len(turns_of(service, character)) == 1


@every_path
def test_a_long_history_is_taken_and_only_its_end_counts(
    service: Served, character: str, name: str
) -> None:
    path, body = PATHS[name](character)
    past = [user("x" * 30_000, f"past-{number}") for number in range(50)] + [assistant("Dark.")]
    whole = chat(*past) if name == "ai-sdk" else {"messages": past}
    body["messages"] = whole["messages"] + body["messages"]
    assert service.stream("POST", path, body).status == 200
    body["messages"][0] = "no message, and nobody looks"
    assert service.stream("POST", path, body).status == 200
    # one byte too many: the answer must not meet a client that is still sending
    sent = json.dumps(body).encode().ljust(4 * 1024 * 1024 + 1)
    assert service.call("POST", path, sent).status == 413


@every_path
@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"messages": []}, 422, "no_new_action"),
        ({"messages": [assistant("Dark.")]}, 422, "no_new_action"),
        ({"messages": [user("\u200b ")]}, 422, "no_new_action"),
        ({"messages": [user("x" * 8001)]}, 422, "validation_error"),
        ({"messages": "I knock."}, 422, "validation_error"),
        ({"messages": [7]}, 422, "validation_error"),
        ({"messages": [user("I knock.") | {"role": ["user"]}]}, 422, "validation_error"),
    ],
)
def test_request_without_an_action_is_refused_and_leaves_nothing(
    service: Served, character: str, name: str, change: Json, status: int, kind: str
) -> None:
    path, body = PATHS[name](character)
    if name == "ai-sdk" and isinstance(change["messages"], list):
        change = {
            "messages": [
                {**one, "parts": [{"type": "text", "text": one["content"]}]}
                if isinstance(one, dict)
                else one
                for one in change["messages"]
            ]
        }
    reply = service.call("POST", path, body | change)
    problem = refused(reply, status, kind, path)
    if kind == "validation_error":
        assert str(problem).count("messages") or "user_action" in str(problem)
    assert turns_of(service, character) == []


@every_path
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b'{"messages": [{]}', b"\xff"])
def test_invalid_request_is_refused(
    service: Served, character: str, name: str, body: bytes
) -> None:
    path, _ = PATHS[name](character)
    refused(service.call("POST", path, body), 422, "validation_error", path)


@every_path
def test_errors_before_the_stream_are_statuses(
    service: Served, model: FakeModel, character: str, name: str
) -> None:
    path, body = PATHS[name](character)
    with gated(model), service.live(character, "I wait.") as live:
        live.until("token")
        reply = service.call("POST", path, body)
        refused(reply, 409, "turn_in_progress", path)
        assert reply.header("location") == f"/turns/{live.turn_id}/events"
        assert reply.header("retry-after") == "2"


@every_path
@pytest.mark.parametrize("stop", ["ignore", "cancel"])
def test_closing_the_connection_stops_the_turn_only_where_it_is_to(
    serve: Serve, model: FakeModel, character: str, name: str, stop: str
) -> None:
    service = serve(dialect_stop=stop)
    path, body = PATHS[name](character)
    with gated(model) as gate:
        with service.open("POST", path, body) as response:
            turn_id = response.headers["X-Turn-Id"]
            while b"Rain" not in response.readline():
                pass
        if stop == "cancel":
            service.wait_for(lambda: turns_of(service, character)[0]["status"] == "cancelled")
        gate.set()
    status = {"ignore": "complete", "cancel": "cancelled"}[stop]
    service.wait_for(lambda: service.call("GET", f"/turns/{turn_id}").json()["status"] == status)


@pytest.mark.parametrize("header", ["x-stainless-retry-count", "x-stainless-os, authorization"])
def test_pages_of_listed_origins_may_use_an_sdk(serve: Serve, header: str) -> None:
    service = serve(allowed_origins="https://chat.example")
    reply = service.call(
        "OPTIONS",
        CHAT,
        Origin="https://chat.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers=header,
    )
    assert reply.status == 200
    assert header.split(",")[0] in (reply.header("access-control-allow-headers") or "")


# -- AG-UI ----------------------------------------------------------------------------------------


def test_an_edited_message_is_not_another_turn(service: Served, character: str) -> None:
    path = f"/ag-ui/{character}"
    service.stream("POST", path, run(user("I knock.")))
    refused(service.call("POST", path, run(user("I kick."))), 422, "idempotency_key_reused")
    assert service.stream("POST", path, run(user("I kick."), threadId="other")).status == 200
    assert service.stream("POST", path, run(user("I go.", "message-2"))).status == 200
    assert len(turns_of(service, character)) == 3


@pytest.mark.parametrize("length", [0, 1, 20, 10_000])
def test_a_client_with_the_beginning_gets_the_rest(
    service: Served, character: str, length: int
) -> None:
    path = f"/ag-ui/{character}"
    turn_id = service.stream("POST", path, run(user("I knock."))).turn_id
    whole = narrative(service, turn_id)
    half = assistant(whole[:length], turn_id)
    rest = service.stream("POST", path, run(user("I knock."), half, runId="run-2"))
    assert whole[:length] + text_of(rest) == whole
    events = datas(rest)
    assert (events[0]["type"], events[0]["runId"]) == ("RUN_STARTED", "run-2")
    assert events[-1]["type"] == "RUN_FINISHED"
    assert len(turns_of(service, character)) == 1


def test_a_client_that_rejoins_is_answered_in_its_own_version(
    service: Served, character: str
) -> None:
    path = f"/ag-ui/{character}"
    first = service.stream("POST", path, run(user("I knock."), protocolVersion="1.0"))
    assert datas(first)[0]["protocolVersion"] == "1.0"
    older = run(assistant("", first.turn_id))
    begun = datas(service.stream("POST", path, {"messages": older["messages"]}))[0]
    assert "protocolVersion" not in begun
    assert (begun["threadId"], begun["runId"]) == (character, first.turn_id)


def test_a_client_that_holds_lost_text_is_shown_the_error(
    service: Served, model: FakeModel, character: str
) -> None:
    path = f"/ag-ui/{character}"
    model.then(Script("no outcome at all"), Script("nor when it is asked again"))
    failed = service.stream("POST", path, run(user("I knock.")))
    events = datas(service.stream("POST", path, run(assistant("The door", failed.turn_id))))
    assert [events[0]["type"], events[-1]["type"]] == ["RUN_STARTED", "RUN_ERROR"]
    assert events[-1]["code"] == "llm_response_error"


def test_a_running_turn_is_rejoined(service: Served, model: FakeModel, character: str) -> None:
    path = f"/ag-ui/{character}"
    with gated(model) as gate, service.open("POST", path, run(user("I knock."))) as response:
        turn_id = response.headers["X-Turn-Id"]
        while b"Rain" not in response.readline():
            pass
        rejoined = aside(service.stream, "POST", path, run(assistant("Rain", turn_id)))
        gate.set()
        assert text_of(rejoined.result()) == " drums on the roof."


@pytest.mark.parametrize(
    ("text", "turn"), [("Another text", None), ("", UNKNOWN), ("", "answer-1")]
)
def test_only_the_beginning_of_a_turn_is_rejoined(
    service: Served, character: str, text: str, turn: str | None
) -> None:
    path = f"/ag-ui/{character}"
    known = service.stream("POST", path, run(user("I knock."))).turn_id
    body = run(assistant(text, turn or known))
    refused(service.call("POST", path, body), 422, "no_new_action")


def test_hidden_runs_are_no_turns(service: Served, character: str) -> None:
    path = f"/ag-ui/{character}"
    choice = {"type": "function", "function": {"name": "copilotkitSuggest"}}
    hidden = run(user("Suggest."), forwardedProps={"toolChoice": choice})
    events = datas(service.call("POST", path, hidden))
    kinds = ["RUN_STARTED", "TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "RUN_FINISHED"]
    assert [one["type"] for one in events] == kinds
    assert json.loads(events[2]["delta"]) == {"suggestions": []}
    other = run(user("Suggest."), forwardedProps={"toolChoice": "required"})
    events = datas(service.call("POST", path, other))
    assert [one["type"] for one in events] == ["RUN_STARTED", "RUN_FINISHED"]
    assert turns_of(service, character) == []


def test_a_run_may_be_dry(service: Served, journey_log: FakeJourneyLog, character: str) -> None:
    path = f"/ag-ui/{character}"
    dry = run(user("I knock."), forwardedProps={"dry_run": True})
    assert service.stream("POST", path, dry).status == 200
    assert journey_log.writes == []
    for name, value in (("dry_run", "yes"), ("dry_run", 1), ("dryRun", True)):
        wrong = run(user("I knock.", "message-2"), forwardedProps={name: value})
        problem = refused(service.call("POST", path, wrong), 422, "validation_error")
        assert f"forwardedProps.{name}" in problem["detail"]


# -- AI SDK ---------------------------------------------------------------------------------------


def test_a_regenerated_message_is_the_same_turn(service: Served, character: str) -> None:
    path = f"/ai-sdk/{character}"
    first = service.stream("POST", path, chat(user("I knock.")))
    again = chat(user("I knock."), trigger="regenerate-message", messageId=first.turn_id)
    assert service.stream("POST", path, again).turn_id == first.turn_id
    edited = chat(user("I kick."), messageId="message-1")
    refused(service.call("POST", path, edited), 422, "idempotency_key_reused")


@pytest.mark.parametrize("name", ["chat-1", "a/b c?ü", "stream/stream"])
def test_newest_turn_of_a_chat_is_streamed_from_its_start(
    service: Served, model: FakeModel, character: str, name: str
) -> None:
    path = f"/ai-sdk/{character}"
    resume = f"{path}/{quote(name, safe='')}/stream"
    assert service.call("GET", resume).status == 204
    with gated(model) as gate, service.open("POST", path, chat(user("I knock."), id=name)) as live:
        while b"Rain" not in live.readline():
            pass
        resumed = aside(service.stream, "GET", resume)
        gate.set()
        whole = live.read()
    assert resumed.result().body.endswith(whole[-200:])
    assert datas(resumed.result())[0]["type"] == "start"
    assert service.stream("GET", resume).body == resumed.result().body
    assert service.call("GET", f"{path}/another/stream").status == 204


# -- OpenAI ---------------------------------------------------------------------------------------


def test_a_chat_is_played_regenerated_and_continued(
    service: Served, model: FakeModel, character: str
) -> None:
    for place in ("The cave is dark and cold.", "The hall has nine chairs.", "A bell rings below."):
        model.then(Script(outcome_text(place)))
    first = service.stream("POST", CHAT, completion(character, user("I knock.")))
    said = [user("I knock."), assistant(text_of(first))]
    second = service.stream("POST", CHAT, completion(character, *said, user("I enter.")))
    again = service.stream("POST", CHAT, completion(character, *said, user("I enter.")))
    assert (again.turn_id, again.body) == (second.turn_id, second.body)
    reply = service.call("POST", CHAT, completion(character, *said, user("I flee.")))
    refused_to_sdk(reply, 422, "history_is_written")
    reply = service.call("POST", CHAT, completion(character, *said))
    refused_to_sdk(reply, 422, "no_new_action")
    said += [user("I enter."), assistant(text_of(second))]
    same = service.stream("POST", CHAT, completion(character, *said, user("I enter.")))
    assert same.turn_id not in (first.turn_id, second.turn_id)
    assert len(turns_of(service, character)) == 3


def test_a_dry_run_is_no_part_of_the_story(service: Served, character: str) -> None:
    first = service.stream("POST", CHAT, completion(character, user("I knock.")))
    dry = {"character_id": character, "user_action": "I enter.", "dry_run": True}
    assert service.call("POST", "/turn", dry).status == 200
    said = [user("I knock."), assistant(text_of(first)), user("I enter.")]
    second = service.stream("POST", CHAT, completion(character, *said))
    assert second.status == 200
    turn = service.call("GET", f"/turns/{second.turn_id}").json()
    assert turn["subsystem_summary"]["narrative_persisted"]


def test_background_requests_of_a_front_end_cost_nothing(
    service: Served, model: FakeModel, character: str
) -> None:
    title = completion(
        character, user("### Task:\nGenerate a title.\nUSER: I knock."), stream=False
    )
    for body in (title, {**title, "model": "dungeon-master-tasks"}):
        reply = service.call("POST", CHAT, body)
        assert reply.status == 200
        whole = reply.json()
        assert whole["object"] == "chat.completion"
        assert json.loads(whole["choices"][0]["message"]["content"]) == {"title": "I knock."}
        assert whole["usage"]["total_tokens"] == 0
    greeting = completion(character, user("Hi"), stream=False)
    refused_to_sdk(service.call("POST", CHAT, greeting), 422, "not_a_turn")
    assert turns_of(service, character) == []
    assert model.calls == []


@pytest.mark.parametrize(
    ("fields", "headers"),
    [({"metadata": {"dm_turn": "true"}}, {}), ({}, {"Idempotency_Key": "key-1"})],
)
def test_turn_can_be_answered_whole(
    service: Served, character: str, fields: Json, headers: dict[str, str]
) -> None:
    body = completion(character, user("I knock."), stream=False, **fields)
    reply = service.call("POST", CHAT, body, **headers)
    whole = reply.json()
    turn_id = whole["dm"]["turn_id"]
    assert whole["choices"][0]["message"]["content"] == narrative(service, turn_id)
    assert whole["id"] == f"chatcmpl-{turn_id}"
    assert whole["usage"]["total_tokens"] > 0
    assert service.call("POST", CHAT, body, **headers).json() == whole


def test_every_character_is_a_model(service: Served, character: str) -> None:
    models = service.call("GET", "/v1/models").json()
    assert models["object"] == "list"
    ids = [one["id"] for one in models["data"]]
    assert ids == [f"dungeon-master/{character}", "dungeon-master/new", "dungeon-master-tasks"]
    assert models["data"][0]["name"]
    assert models["data"][0]["created"] > 0
    for one in models["data"]:
        for name in (one["id"], quote(one["id"], safe="")):
            assert service.call("GET", f"/v1/models/{name}").json() == one
    refused_to_sdk(service.call("GET", "/v1/models/gpt-5"), 404, "model_not_found")


@pytest.mark.parametrize("name", ["gpt-5", "dungeon-master/x", f"dungeon-master/{UNKNOWN}"])
def test_an_unknown_model_is_not_found(service: Served, name: str) -> None:
    body = {"model": name, "stream": True, "messages": [user("Hi")]}
    refused_to_sdk(service.call("POST", CHAT, body), 404, "model_not_found")


def test_paths_beneath_v1_refuse_as_sdks_expect(service: Served) -> None:
    refused_to_sdk(service.call("GET", "/v1/nothing"), 404, "not_found")
    refused_to_sdk(service.call("DELETE", "/v1/models"), 405, "method_not_allowed")


def test_a_completion_is_cancelled_by_its_id(
    service: Served, model: FakeModel, character: str
) -> None:
    with (
        gated(model) as gate,
        service.open("POST", CHAT, completion(character, user("I knock."))) as response,
    ):
        while b"Rain" not in (line := response.readline()):
            pass
        name = json.loads(line[6:])["id"]
        assert service.call("POST", f"{CHAT}/{name}/cancel").status == 202
        rest = response.read()
        gate.set()
    assert b'"code":"turn_cancelled"' in rest
    refused_to_sdk(service.call("POST", f"{CHAT}/{name}/cancel"), 409, "not_cancellable")


def new(*messages: Json, **fields: Any) -> Json:
    return {"model": "dungeon-master/new", "stream": True, "messages": list(messages), **fields}


def test_a_character_is_made_in_a_chat(service: Served) -> None:
    hello = [user("Hello, who is there?")]
    asked = text_of(service.stream("POST", CHAT, new(*hello)))
    assert "name, race and class" in asked
    hello += [assistant(asked), user("Maren Ashdown, human")]
    asked = text_of(service.stream("POST", CHAT, new(*hello)))
    assert asked == "And your class?"
    hello += [assistant(asked), user("ranger")]
    turn = service.stream("POST", CHAT, new(*hello))
    character = turn.header("x-character-id")
    model = f"dungeon-master/{character}"
    assert text_of(turn).endswith(f"To play on, choose the model `{model}`.")
    assert text_of(turn).startswith(narrative(service, turn.turn_id))
    assert service.stream("POST", CHAT, new(*hello)).body == turn.body
    said = [*hello, assistant(text_of(turn)), user("I look around.")]
    assert model in text_of(service.stream("POST", CHAT, new(*said)))
    played = service.stream("POST", CHAT, {**new(*said), "model": model})
    assert [one["user_action"] for one in turns_of(service, str(character))] == [
        "I look around.",
        None,
    ]
    assert text_of(played) == narrative(service, played.turn_id)
    whole = new(*hello, stream=False, metadata={"dm_turn": "true"})
    answer = service.call("POST", CHAT, whole).json()["choices"][0]["message"]["content"]
    assert answer == text_of(turn)


def test_a_character_that_exists_is_named(service: Served) -> None:
    made = service.call(
        "POST", "/characters", {"name": "Maren", "race": "elf", "class_name": "bard"}
    ).json()
    turn = service.stream("POST", CHAT, new(user("Maren, elf, bard")))
    assert f"dungeon-master/{made['character_id']}" in text_of(turn)


def test_events_are_shown_on_request(service: Served, character: str) -> None:
    options = {"dm_events": True, "stream_options": {"include_usage": True}}
    turn = service.stream("POST", CHAT, completion(character, user("I knock."), **options))
    shown = [one["dm"]["event"]["type"] for one in datas(turn) if "event" in one.get("dm", {})]
    assert {"metadata", "write"} <= set(shown)
    assert datas(turn)[-1]["usage"]["total_tokens"] > 0
    assert b"\nid:" not in turn.body
    assert b"retry" not in turn.body
