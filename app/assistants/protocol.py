"""The Model Context Protocol, by the official SDK.

It keeps no session: one request, one answer, in revisions that begin with a handshake, too.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from functools import cache
from typing import Any, Final

import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    EmptyResult,
    ListToolsResult,
    PaginatedRequestParams,
    ToolAnnotations,
)
from mcp.types import Tool as ListedTool
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app import __version__
from app.assistants.schemas import as_json, read_arguments
from app.assistants.tasks import (
    EXTENSION,
    TaskParams,
    created,
    detailed,
    is_open,
    result,
    turn_result,
)
from app.assistants.tools import ENDPOINT, Asked, Found, Tool, Tools
from app.core.encoding import dump
from app.errors import DungeonMasterError, InternalError, NotCancellable, TurnNotFound
from app.eventlog.reader import Cursor
from app.ports.clock import Clock
from app.turns.open_turn import OpenTurn
from app.turns.routes import client_of, request_by
from app.turns.schemas import TurnDescription
from app.turns.service import TurnService
from app.web.auth import caller_of
from app.web.bodies import RequestBody
from app.web.inputs import MAX_BODY, meta_of
from app.web.problem import problem_fields
from app.web.transports.readers import Readers

log = structlog.get_logger(__name__)

Context = ServerRequestContext[Any, Request]
Json = dict[str, Any]
_NAMED: Final = ("character_id", "turn_id")  # what a model needs to go on
_TASKS: Final = ClientCapabilities(extensions={EXTENSION: {}})
_INSTRUCTIONS: Final = (
    "A dungeon master for text role-playing games. list_characters shows the player's characters, "
    "create_character begins a new story, play_turn plays an action and tells what happens. Show the "
    "player the narrative word for word; what a character does is the player's to decide."
)


class AssistantServer:
    """The handlers of the protocol, and the SDK's server around them."""

    def __init__(
        self, tools: Tools, turns: TurnService, readers: Readers, clock: Clock, kept_seconds: int
    ) -> None:
        self._tools = tools.all
        self._turns = turns
        self._readers = readers
        self._now = clock.now
        self._ttl_ms = kept_seconds * 1000
        self._listed = [_listed(tool) for tool in self._tools.values()]
        schemas = {tool.name: tool.input_schema for tool in self._listed}
        server: Server[Any] = Server(
            "dungeon-master",
            version=__version__,
            title="Dungeon Master",
            instructions=_INSTRUCTIONS,
            get_tool_input_schema=schemas.get,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        server.middleware.clear()  # the SDK's own traces; ours have the request's id
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tasks/get", TaskParams, self._get_task)
        server.add_request_handler("tasks/update", TaskParams, self._update_task)
        server.add_request_handler("tasks/cancel", TaskParams, self._cancel_task)
        self._manager = StreamableHTTPSessionManager(
            server, stateless=True, max_request_body_size=MAX_BODY
        )
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Serves for as long as it is not cancelled."""
        async with self._manager.run():
            self._ready.set()
            await asyncio.Event().wait()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._ready.wait()
        await self._manager.handle_request(scope, receive, send)

    # -- tools ------------------------------------------------------------------------------------

    async def _list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=self._listed)

    async def _call_tool(self, ctx: Context, params: CallToolRequestParams) -> Any:
        tool, request = self._tools.get(params.name), _request_of(ctx)
        if tool is None:
            raise MCPError(INVALID_PARAMS, "There is no such tool; tools/list names them.")
        try:
            arguments = read_arguments(params.arguments, tool.arguments)
            with ExitStack() as held:
                if tool.plays and not _knows_tasks(ctx):  # it waits; refused before there is a turn
                    held.callback(self._readers.take(client_of(request)))
                found = await tool.run(_asked(request), arguments)
                if isinstance(found, Found):
                    data = as_json(found.data, tool.answer)
                    return result(dump(data) if found.text is None else found.text, data)
                return await self._answered(ctx, request, found)
        except DungeonMasterError as error:
            return _refused(error, request)
        except Exception as error:
            log.exception(
                "tool_failed_unexpectedly", tool=tool.name, error_type=type(error).__name__
            )
            return _refused(InternalError(), request)

    async def _answered(
        self, ctx: Context, request: Request, turn: OpenTurn
    ) -> CallToolResult | Json:
        """The turn as a task for a client that knows of them; for others, once it has ended."""
        if not _knows_tasks(ctx):
            return turn_result(await self._ended(ctx, request, turn))
        described = await self._turns.describe(turn.turn_id, caller_of(request))
        return created(described, self._ttl_ms, self._now())

    async def _ended(self, ctx: Context, request: Request, turn: OpenTurn) -> TurnDescription:
        """The turn once it has ended, however it did. Raises `Overloaded` where it has not."""
        caller = caller_of(request)
        try:
            await self._followed(ctx, request, turn)
        except DungeonMasterError:
            described = await self._turns.describe(turn.turn_id, caller)
            if is_open(described):
                raise
            return described
        return await self._turns.describe(turn.turn_id, caller)

    async def _followed(self, ctx: Context, request: Request, turn: OpenTurn) -> None:
        """Wait for the end of the turn; its phases are progress. Raises what it ended with."""
        cursor = Cursor(turn.log)
        try:
            async for entries in cursor:
                for seq, kind, _ in entries:
                    if kind == "metadata":
                        await ctx.session.report_progress(seq)
            await self._turns.finished(turn, caller_of(request))
        finally:
            cursor.close()

    # -- tasks ------------------------------------------------------------------------------------

    async def _get_task(self, ctx: Context, params: TaskParams) -> Json:
        return detailed(await self._described(ctx, params), self._ttl_ms, self._now())

    async def _update_task(self, ctx: Context, params: TaskParams) -> EmptyResult:
        """A turn never asks for input: any answer is one too many, and is ignored."""
        await self._described(ctx, params)
        return EmptyResult()

    async def _cancel_task(self, ctx: Context, params: TaskParams) -> EmptyResult:
        """Acknowledged in any case; whether it came in time is for `tasks/get` to say."""
        await self._described(ctx, params)
        with suppress(NotCancellable):
            await self._turns.cancel(params.task_id, caller_of(_request_of(ctx)))
        return EmptyResult()

    async def _described(self, ctx: Context, params: TaskParams) -> TurnDescription:
        if not _knows_tasks(ctx):
            needed: Json = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
            message = "Missing required client capability"
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, message, needed)
        try:
            return await self._turns.describe(params.task_id, caller_of(_request_of(ctx)))
        except TurnNotFound:
            raise MCPError(INVALID_PARAMS, "There is no such task.") from None


def _request_of(ctx: Context) -> Request:
    assert ctx.request is not None
    return ctx.request


def _knows_tasks(ctx: Context) -> bool:
    return ctx.session.check_client_capability(_TASKS)


def _asked(request: Request) -> Asked:
    return Asked(caller_of(request), meta_of(request), request_by(request, ENDPOINT, None))


def _refused(error: DungeonMasterError, request: Request) -> CallToolResult:
    """The problem that the same call over HTTP would be answered with."""
    fields = problem_fields(error, instance=ENDPOINT, request_id=request.state.request_id)
    named = [f"{name}: {error.extra[name]}" for name in _NAMED if name in error.extra]
    return result(" ".join([error.message, *named]), fields, is_error=True)


def _listed(tool: Tool) -> ListedTool:
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.about,
        input_schema=_input_schema(tool.arguments),
        output_schema=_output_schema(tool.answer),
        annotations=ToolAnnotations(
            read_only_hint=tool.reads_only,
            destructive_hint=False,
            idempotent_hint=tool.idempotent,
            open_world_hint=False,
        ),
    )


@cache  # the schemas take as long to make as the rest of a start
def _input_schema(arguments: type[RequestBody]) -> Json:
    return arguments.model_json_schema()


@cache
def _output_schema(answer: TypeAdapter[Any]) -> Json:
    return answer.json_schema(mode="serialization")
