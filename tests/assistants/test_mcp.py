"""The service as a server of the Model Context Protocol, called by the official SDK's client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Literal, TypeVar

import httpx2
import pytest
from app.web.inputs import MAX_BODY
from mcp import Client, ClientSession
from mcp.client import advertise
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, RequestParams, Result
from mcp.types import Request as Asked

from fakes.journey_log import FakeJourneyLog
from fakes.model import COMBAT_START, FakeModel, Script, gated, outcome_text
from passes import WITH_SECRET, bearer, token, turned_away
from serving import TIMEOUT, Served, aside, refused

Serve = Callable[..., Served]
Json = dict[str, Any]
Found = TypeVar("Found")
TASKS = "io.modelcontextprotocol/tasks"
UNKNOWN = "0190a5b0-7e1c-7000-8000-00000000000a"
TOOLS = ["create_character", "play_turn", "get_turn", "get_character", "list_characters"]
TOOLS += ["ask", "roll"]


class Handle(Result):
    """What a call gives whose turn runs on."""

    result_type: Literal["task"]
    task_id: str
    status: str
    created_at: str
    last_updated_at: str
    ttl_ms: int
    poll_interval_ms: int
    status_message: str | None = None


class State(Handle):
    result_type: Literal["complete"]  # type: ignore[assignment]
    result: CallToolResult | None = None


class Acknowledged(Result):
    result_type: Literal["complete"]


class Task(RequestParams):
    task_id: str


class GetTask(Asked[Task, Literal["tasks/get"]]):
    name_param: ClassVar[str | None] = "taskId"
    method: Literal["tasks/get"] = "tasks/get"
    params: Task


class CancelTask(Asked[Task, Literal["tasks/cancel"]]):
    name_param: ClassVar[str | None] = "taskId"
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: Task


class UpdateTask(Asked[Task, Literal["tasks/update"]]):
    name_param: ClassVar[str | None] = "taskId"
    method: Literal["tasks/update"] = "tasks/update"
    params: Task


async def state(session: ClientSession, task_id: str) -> State:
    return await session.send_request(GetTask(params=Task(task_id=task_id)), State)


async def ended(session: ClientSession, task_id: str) -> State:
    """Polls until the task is over."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            found = await state(session, task_id)
            if found.status != "working":
                return found
            await asyncio.sleep(0.01)


class Polling(ClientExtension):
    """A client that knows of tasks, as hosts have it."""

    identifier = TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=Handle, resolve=self._resolve),)

    async def _resolve(self, handle: Handle, context: ClaimContext) -> CallToolResult:
        found = await ended(context.session, handle.task_id)
        assert found.result is not None
        return found.result


def talk(
    service: Served,
    scenario: Callable[[Client], Awaitable[Found]],
    *,
    extensions: Sequence[ClientExtension] = (),
    mode: Any = "2026-07-28",
    headers: dict[str, str] | None = None,
) -> Found:
    """A client's whole visit."""

    async def visit() -> Found | MCPError:
        async with httpx2.AsyncClient(headers=headers, timeout=TIMEOUT) as http:
            transport = streamable_http_client(f"{service.url}/mcp", http_client=http)
            known = list(extensions) or None
            async with Client(transport, mode=mode, extensions=known) as client:
                try:
                    return await scenario(client)
                except MCPError as error:  # not through the client's groups of tasks
                    return error

    found = asyncio.run(visit())
    if isinstance(found, MCPError):
        raise found
    return found


def call(service: Served, name: str, /, **arguments: Any) -> CallToolResult:
    return talk(service, lambda client: client.call_tool(name, arguments))


def handle(service: Served, name: str, /, **arguments: Any) -> Handle:
    """The task that the call has become."""

    async def scenario(client: Client) -> Handle:
        found = await client.session.call_tool(name, arguments, allow_claimed=True)
        assert isinstance(found, Handle)
        return found

    return talk(service, scenario, extensions=[Polling()])


def text(result: CallToolResult) -> str:
    (content,) = result.content
    return str(getattr(content, "text", ""))


def turns_of(service: Served, character: str) -> list[Json]:
    found: list[Json] = service.call("GET", f"/characters/{character}/turns").json()["turns"]
    return found


# -- what there is --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["2026-07-28", "auto", "legacy"])
def test_the_server_says_what_it_is_and_lists_its_tools(service: Served, mode: str) -> None:
    async def scenario(client: Client) -> None:
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == TOOLS
        for tool in listed:
            assert tool.description
            assert tool.input_schema["type"] == "object"
            assert tool.output_schema is not None
        if mode == "auto":
            assert client.protocol_version == "2026-07-28"
            assert client.server_info is not None
            assert client.server_info.name == "dungeon-master"
            assert client.server_capabilities.extensions == {TASKS: {}}
            assert "play_turn" in (client.instructions or "")

    talk(service, scenario, mode=mode)


@pytest.mark.parametrize(
    ("mode", "extensions"),
    [("2026-07-28", []), ("2026-07-28", [Polling()]), ("legacy", [])],
    ids=["waiting", "polling", "with a handshake"],
)
def test_a_story_is_played(
    service: Served, model: FakeModel, mode: str, extensions: list[ClientExtension]
) -> None:
    outcome = outcome_text("A bell rings.", combat=COMBAT_START)

    async def scenario(client: Client) -> None:
        model.then(Script(), Script(text=outcome))
        sheet = {"name": "Maren", "race": "human", "class_name": "ranger"}
        made = (await client.call_tool("create_character", sheet)).structured_content
        character = made["character_id"]
        assert made["narrative"] != ""
        action = {"character_id": character, "user_action": "I ring the bell."}
        played = await client.call_tool("play_turn", action)
        assert not played.is_error
        assert text(played).startswith("A bell rings.\n\n[")
        assert "combat started" in text(played)
        assert text(played).endswith("; story saved]")
        turn = played.structured_content
        assert turn["status"] == "complete"
        assert turn["subsystem_summary"]["combat_change"]["success"] is True
        seen = await client.call_tool("get_turn", {"turn_id": turn["turn_id"]})
        assert seen.structured_content == turn
        shown = (
            await client.call_tool("get_character", {"character_id": character})
        ).structured_content
        assert (shown["name"], shown["turns"]) == ("Maren", 2)
        listed = (await client.call_tool("list_characters", {})).structured_content
        assert [row["character_id"] for row in listed["characters"]] == [character]

    talk(service, scenario, mode=mode, extensions=extensions)


def test_a_roll_can_be_checked(service: Served) -> None:
    rolled = call(service, "roll", dice="3d1+2")
    assert rolled.structured_content["total"] == 5
    assert text(rolled) == "3d1+2: 5 (1, 1, 1)"
    assert len(rolled.structured_content["seed"]) == 32


def test_a_question_is_answered_and_is_no_turn(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(text="Wren rang it."))
    answer = call(service, "ask", character_id=character, question="Who rang the bell?")
    assert not answer.is_error
    assert text(answer) == answer.structured_content["answer"] != ""
    assert turns_of(service, character) == []


# -- a turn as a task -----------------------------------------------------------------------------


def test_a_task_is_its_turn_and_outlives_the_process(
    serve: Serve, model: FakeModel, character: str
) -> None:
    first = serve()
    with gated(model):
        task = handle(first, "play_turn", character_id=character, user_action="I knock.")
        assert (task.status, task.poll_interval_ms) == ("working", 1000)
        first.call("GET", f"/turns/{task.task_id}").json()
        now = talk(first, lambda c: state(c.session, task.task_id), extensions=[Polling()])
        assert (now.status, now.result) == ("working", None)
        assert now.created_at <= now.last_updated_at
    done = talk(first, lambda c: ended(c.session, task.task_id), extensions=[Polling()])
    assert done.result is not None
    assert done.result.structured_content["narrative"] == "Rain drums on the roof."
    first.close()
    again = talk(serve(), lambda c: state(c.session, task.task_id), extensions=[Polling()])
    assert again == done


def test_a_task_is_cancelled(service: Served, model: FakeModel, character: str) -> None:
    async def scenario(client: Client) -> None:
        params = Task(task_id=task.task_id)
        for request in (CancelTask(params=params), UpdateTask(params=params)):
            await client.session.send_request(request, Acknowledged)
        found = await ended(client.session, task.task_id)
        assert (found.status, found.result) == ("cancelled", None)
        await client.session.send_request(CancelTask(params=params), Acknowledged)  # once more

    with gated(model):
        task = handle(service, "play_turn", character_id=character, user_action="I knock.")
        talk(service, scenario, extensions=[Polling()])
    assert [turn["status"] for turn in turns_of(service, character)] == ["cancelled"]


def test_a_task_that_failed_has_its_error_as_its_result(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(text='{"narrative": "Rain", "intents": 7'))
    task = handle(service, "play_turn", character_id=character, user_action="I knock.")
    found = talk(service, lambda c: ended(c.session, task.task_id), extensions=[Polling()])
    assert (found.status, found.result and found.result.is_error) == ("completed", True)
    assert found.result is not None
    assert found.result.structured_content["error"]["type"] == "llm_response_error"


@pytest.mark.parametrize("kind", [GetTask, CancelTask, UpdateTask])
def test_tasks_refuse_other_callers(service: Served, kind: Any) -> None:
    request = kind(params=Task(task_id=UNKNOWN))
    asked = lambda client: client.session.send_request(request, State)  # noqa: E731
    with pytest.raises(MCPError) as unknown:
        talk(service, asked, extensions=[Polling()])
    assert (unknown.value.code, unknown.value.message) == (-32602, "There is no such task.")
    with pytest.raises(MCPError) as undeclared:
        talk(service, asked, extensions=[advertise("com.example/other")])
    assert undeclared.value.code == -32021
    assert undeclared.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


# -- the same call once more ----------------------------------------------------------------------


def test_a_key_is_one_turn(service: Served, character: str) -> None:
    asked = {"character_id": character, "user_action": "I knock.", "idempotency_key": "k-1"}
    first, again = (call(service, "play_turn", **asked) for _ in range(2))
    assert first.structured_content == again.structured_content
    other = call(service, "play_turn", **{**asked, "user_action": "I wait."})
    assert other.structured_content["error"]["type"] == "idempotency_key_reused"
    assert len(turns_of(service, character)) == 1


def test_the_same_action_joins_the_turn_that_runs_and_another_does_not(
    service: Served, model: FakeModel, character: str
) -> None:
    asked = {"character_id": character, "user_action": "I knock."}
    with gated(model) as gate:
        task = handle(service, "play_turn", **asked)
        assert handle(service, "play_turn", **asked).task_id == task.task_id
        other = call(service, "play_turn", **{**asked, "user_action": "I wait."})
        assert other.structured_content["error"]["type"] == "turn_in_progress"
        assert task.task_id in text(other)
        waiting = aside(call, service, "play_turn", **asked)
        service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 1)
        gate.set()
        assert waiting.result().structured_content["turn_id"] == task.task_id
    assert len(turns_of(service, character)) == 1


def test_a_client_that_leaves_stops_nothing(
    service: Served, model: FakeModel, character: str
) -> None:
    async def scenario(client: Client) -> None:
        asked = {"character_id": character, "user_action": "I knock."}
        seen = asyncio.Event()

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            seen.set()

        calling = asyncio.create_task(
            client.call_tool("play_turn", asked, progress_callback=progress)
        )
        await asyncio.wait_for(seen.wait(), TIMEOUT)
        calling.cancel()

    with gated(model) as gate:
        talk(service, scenario)
        service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 0)
        gate.set()
        service.wait_for(lambda: turns_of(service, character)[0]["status"] == "complete")


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "kind", "message"),
    [
        ("play_turn", {}, "validation_error", "character_id: is required"),
        ("play_turn", {"character_id": "x"}, "validation_error", "character_id: must be a UUID"),
        ("play_turn", {"character_id": UNKNOWN, "user_action": "x", "dryRun": True},
         "validation_error", "dryRun"),
        ("play_turn", {"character_id": UNKNOWN, "user_action": "x"}, "character_not_found", ""),
        ("create_character", {"name": "Maren"}, "validation_error", "race"),
        ("get_turn", {"turn_id": UNKNOWN}, "turn_not_found", ""),
        ("get_character", {"character_id": UNKNOWN}, "character_not_found", ""),
        ("list_characters", {"limit": 3}, "validation_error", "limit"),
        ("roll", {"dice": "d"}, "validation_error", "dice"),
    ],
)  # fmt: skip
def test_tool_names_the_error(
    service: Served, tool: str, arguments: Json, kind: str, message: str
) -> None:
    found = call(service, tool, **arguments)
    assert found.is_error
    problem = found.structured_content
    assert problem["error"]["type"] == kind
    assert problem["error"]["request_id"]
    assert message in text(found)
    assert problem["detail"] in text(found)


def test_a_character_that_is_there_is_named(service: Served) -> None:
    sheet = {"name": "Maren", "race": "human", "class_name": "ranger"}
    character = call(service, "create_character", **sheet).structured_content["character_id"]
    again = call(service, "create_character", **sheet)
    assert again.structured_content["error"]["type"] == "character_exists"
    assert character in text(again)


def test_a_tool_that_nobody_has_is_an_error_of_the_protocol(service: Served) -> None:
    with pytest.raises(MCPError, match="no such tool") as found:
        call(service, "delete_everything")
    assert found.value.code == -32602


def test_a_failure_of_the_model_is_the_result(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(text='{"narrative": "Rain", "intents": 7'))
    found = call(service, "play_turn", character_id=character, user_action="I knock.")
    assert found.is_error
    assert found.structured_content["error"]["type"] == "llm_response_error"
    assert found.structured_content["narrative"] == "Rain"


def body(method: str = "tools/list", **params: Any) -> Json:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, **params}}


PLAIN = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
PLAIN["Mcp-Method"] = "tools/list"


def test_the_door_is_guarded_as_everywhere(service: Served) -> None:
    refused(service.call("POST", "/mcp", body(), Host="evil.example", **PLAIN), 400, "bad_request")
    foreign = service.call("POST", "/mcp", body(), Origin="https://evil.example", **PLAIN)
    refused(foreign, 403, "forbidden")
    refused(service.call("POST", "/mcp", b"{}", Content_Type="text/plain"), 400, "bad_request")
    refused(service.call("POST", "/mcp", b" " * (MAX_BODY + 1), **PLAIN), 413, "payload_too_large")
    for method in ("GET", "DELETE"):
        gone = service.call(method, "/mcp", **PLAIN)
        refused(gone, 405, "method_not_allowed")
        assert gone.header("allow") == "POST"
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for sent, version in ((body(), "2026-07-28"), (ping, "2025-11-25")):
        answer = service.call("POST", "/mcp", sent, **{**PLAIN, "MCP-Protocol-Version": version})
        assert (answer.header("cache-control") or "").startswith("no-store")
    listed = service.call("POST", "/mcp", body(), X_Request_Id="of-mine", **PLAIN)
    assert (listed.status, listed.header("x-request-id")) == (200, "of-mine")
    assert [tool["name"] for tool in listed.json()["result"]["tools"]] == TOOLS


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32600),
        (body("tools/forget"), 404, -32601),
        (body("tools/call"), 400, -32602),
    ],
)
def test_invalid_request_is_an_error_of_the_protocol(
    service: Served, sent: Any, status: int, code: int
) -> None:
    method = sent["method"] if isinstance(sent, dict) else "tools/list"
    answer = service.call("POST", "/mcp", sent, **{**PLAIN, "Mcp-Method": method})
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)


def test_a_token_opens_its_own_user_s_game_only(serve: Serve, journey_log: FakeJourneyLog) -> None:
    service, character = serve(**WITH_SECRET), journey_log.seed_character("mara")
    turned_away(service.call("POST", "/mcp", body(), **PLAIN), 'Bearer realm="dungeon-master"')
    chatting = service.call("POST", "/mcp", body(), **PLAIN, **bearer(token(scope="chat")))
    refused(chatting, 403, "forbidden")
    asked = {"character_id": character, "user_action": "I knock."}

    async def play(client: Client) -> Json:
        return dict((await client.call_tool("play_turn", asked)).structured_content)

    turn = talk(service, play, headers=bearer(token(scope="turns")))
    assert turn["status"] == "complete"
    with pytest.raises(MCPError, match="no such task"):
        talk(
            service,
            lambda client: state(client.session, turn["turn_id"]),
            extensions=[Polling()],
            headers=bearer(token(sub="somebody-else")),
        )


def test_limits_are_those_of_every_turn(serve: Serve, journey_log: FakeJourneyLog) -> None:
    service, character = (
        serve(**WITH_SECRET, limit_user_per_minute=1),
        journey_log.seed_character("mara"),
    )

    async def play(client: Client) -> list[str]:
        kinds = []
        for action in ("I knock.", "I wait."):
            asked = {"character_id": character, "user_action": action}
            error = (await client.call_tool("play_turn", asked)).structured_content.get("error")
            kinds.append(error["type"] if error else "played")
        return kinds

    assert talk(service, play, headers=bearer(token())) == ["played", "rate_limit_exceeded"]


def test_a_call_that_could_not_wait_for_its_turn_plays_none(
    serve: Serve, model: FakeModel, character: str, journey_log: FakeJourneyLog
) -> None:
    service, other = serve(max_streams_per_client=1), journey_log.seed_character()
    asked = {"character_id": other, "user_action": "I knock."}
    with gated(model) as gate, service.live(character) as live:
        live.until("token")
        found = call(service, "play_turn", **asked)
        assert found.structured_content["error"]["type"] == "rate_limit_exceeded"
        assert turns_of(service, other) == []
        gate.set()
        live.rest()


def test_sdk_that_cannot_be_imported_leaves_no_request_waiting(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("app.assistants.routes.import_module", missing)
    for _ in range(2):
        refused(service.call("POST", "/mcp", body(), **PLAIN), 500, "internal_error")
    assert service.call("GET", "/health").status == 200


def test_a_service_that_is_stopping_takes_no_turn_and_still_answers(
    service: Served, character: str
) -> None:
    for drain in service.application.drains:
        drain.refuse_new()
    found = call(service, "play_turn", character_id=character, user_action="I knock.")
    assert found.structured_content["error"]["type"] == "overloaded"
    assert not call(service, "list_characters").is_error
