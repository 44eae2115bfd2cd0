"""The service on a real socket, in a thread of its own, and a plain client that reads bytes."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeVar

import uvicorn
from app.bootstrap import Builder
from app.bootstrap.features import FEATURES
from app.bootstrap.settings import settings_type
from app.cli.server import config_for
from app.ports.clock import Clock
from app.settings import SharedSettings, read_settings
from pydantic import BaseModel
from websockets.sync.client import ClientConnection, connect

TIMEOUT = 300.0  # far more than anything takes; only a test that fails waits so long
RETRY = b"retry: 2000\n"  # the first line of the first block of a stream
SOON = 2.0  # a timeout that a test waits for, and no answer on a busy machine takes
Result = TypeVar("Result")


class Served:
    """Keyword arguments are settings, and `clock` a `Clock`; the environment is not read.

    `timeout` in seconds is for the calls of model and journey-log, which no setting makes shorter
    than 1 s.
    """

    source = "127.0.0.1"  # the address that its clients come from
    kind: type[Builder] = Builder

    def __init__(
        self,
        *,
        clock: Any = None,
        timeout: Any = None,
        features: Any = FEATURES,
        **settings: Any,
    ) -> None:
        settings = {
            "openai_model": "gpt-5.1",  # the server is not asked for its own
            "llm_probe": "off",  # a model's script is for what the test asks
            "max_loop_lag_seconds": 60,  # the machine may be busy with other tests
            **settings,
        }
        self.settings = read_settings(given_type(tuple(features)), **settings)
        if timeout is not None:
            waits = ("openai_timeout", "llm_idle_timeout", "journey_log_timeout")
            changes = dict.fromkeys(waits, timeout)
            self.settings = self.settings.model_copy(update=changes)
        builder = self.kind(self.settings, clock or Clock(), features, tls=trust_store())
        self.application = builder.build()
        config = config_for(self.application, self.settings)
        config.port = 0
        self._server = uvicorn.Server(config)
        self._ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="service", daemon=True)
        self._thread.start()
        assert self._ready.wait(TIMEOUT), "the service did not start"
        self.port = int(self._server.servers[0].sockets[0].getsockname()[1])

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        # What `serve` of uvicorn does, without taking over the signals of the test process.
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup()
        self._ready.set()
        await self._server.on_tick(0)
        await self._stop.wait()
        await self._shut_down()

    async def _shut_down(self) -> None:
        """What `shutdown` of uvicorn does, without its waits of a tenth of a second."""
        state = self._server.server_state
        for listener in self._server.servers:
            listener.close()
        for connection in list(state.connections):
            connection.shutdown()
        until = time.monotonic() + 1
        # uvicorn does not signal when they are gone
        while (state.connections or state.tasks) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        for task in state.tasks:
            task.cancel()
        await self._server.lifespan.shutdown()

    def close(self) -> None:
        if self.loop is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the service did not stop"

    @property
    def host(self) -> str:
        """How its clients name it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- plain requests ---------------------------------------------------------------------------

    @contextmanager
    def open(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """The response with its body unread. Header names are given with underscores."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=TIMEOUT, source_address=(self.source, 0)
        )
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("Host", self.host)
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            try:
                yield response
            finally:
                response.close()
        finally:
            connection.close()

    def send(self, method: str, path: str, body: Any) -> http.client.HTTPConnection:
        """The request alone; its answer is not waited for."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        connection.request(
            method, path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        return connection

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        with self.open(method, path, body, **headers) as response:
            return Reply(response.status, dict(response.getheaders()), response.read())

    def stream(self, method: str, path: str, body: Any = None, **headers: str) -> Stream:
        """The whole stream, read to its end."""
        with self.open(method, path, body, **headers) as response:
            return Stream(response.status, dict(response.getheaders()), response.read())

    def turn(self, character_id: str, action: str = "I open the door.", **fields: Any) -> Stream:
        return self.stream("POST", "/turn/stream", turn_body(character_id, action, **fields))

    @contextmanager
    def live(
        self, character_id: str, action: str = "I open the door.", **fields: Any
    ) -> Iterator[Live]:
        """A turn's stream, to be read step by step; leaving the block closes the connection."""
        body = turn_body(character_id, action, **fields)
        with self.open("POST", "/turn/stream", body) as response:
            yield Live(response)

    @contextmanager
    def events(self, turn_id: str, query: str = "", **headers: str) -> Iterator[Live]:
        with self.open("GET", f"/turns/{turn_id}/events{query}", **headers) as response:
            yield Live(response)

    def cancel(self, turn_id: str) -> Reply:
        return self.call("POST", f"/turns/{turn_id}/cancel")

    def socket(self, **headers: str) -> ClientConnection:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return dialled(
            f"ws://{self.host}/turn/ws",
            sock=socket.create_connection(
                ("127.0.0.1", self.port), TIMEOUT, source_address=(self.source, 0)
            ),
            additional_headers=sent,
        )

    # -- what goes on inside ----------------------------------------------------------------------

    def metric(self, name: str) -> float:
        """The sum over all labels of a sample in `/metrics`."""
        lines = self.call("GET", "/metrics").body.decode().splitlines()
        rows = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return sum(float(value) for key, _, value in rows if key.partition("{")[0] == name)

    @property
    def requests_under_way(self) -> int:
        return len(self._server.server_state.tasks)

    @property
    def open_connections(self) -> int:
        return len(self._server.server_state.connections)

    def wait_for(self, predicate: Callable[[], object], timeout: float = TIMEOUT) -> None:
        until = time.monotonic() + timeout
        while not predicate():
            assert time.monotonic() < until, f"not so after {timeout} s"
            time.sleep(0.002)

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


def dialled(address: str, **settings: Any) -> ClientConnection:
    """A WebSocket. It reads ahead without a bound: where more is unread than the usual 16 messages, the
    library does not read the answer to a close either, and waits until `close_timeout`."""
    opened: ClientConnection = connect(
        address, open_timeout=TIMEOUT, close_timeout=TIMEOUT, max_queue=None, **settings
    )
    return opened


def no_certificates() -> None:
    """Reading the system's is most of what the start of a service costs, and no test speaks TLS."""
    for read in ("load_verify_locations", "set_default_verify_paths"):
        setattr(ssl.SSLContext, read, lambda *_, **__: None)


@cache
def trust_store() -> ssl.SSLContext:
    """One for all services of the process: to read the system's certificates takes 30 ms."""
    return ssl.create_default_context()


@cache
def given_type(features: tuple[Any, ...]) -> type[SharedSettings]:
    """The settings of the service, from nothing but what a test gives."""

    class Given(settings_type(features)):  # type: ignore[misc]
        def __init__(self, **given: Any) -> None:
            BaseModel.__init__(self, **given)  # without a look at any source

    return Given


def turn_body(character_id: str, action: str = "I open the door.", **fields: Any) -> dict[str, Any]:
    return {"character_id": character_id, "user_action": action, **fields}


def aside(work: Callable[..., Result], *args: Any, **kwargs: Any) -> Future[Result]:
    """Does `work` in a thread of its own."""
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(work(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return done


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers.items() if key.lower() == name.lower()]
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json()["error"]


def refused_to_sdk(reply: Reply, status: int, kind: str) -> dict[str, Any]:
    """The same as OpenAI's SDKs read it: beneath `/v1`."""
    assert (reply.status, reply.error["type"]) == (status, kind), reply.body
    assert reply.header("content-type") == "application/json"
    problem: dict[str, Any] = reply.json()
    assert problem.keys() == {"error"}
    assert problem["error"].keys() == {"message", "type", "code", "param"}
    assert (problem["error"]["code"], problem["error"]["param"]) == (kind, None)
    assert problem["error"]["message"] != ""
    if status in (429, 503):
        assert int(reply.header("retry-after") or "") > 0
    return problem


def refused(reply: Reply, status: int, kind: str, path: str = "") -> dict[str, Any]:
    """The problem document of a refusal, checked for everything that every one of them has."""
    if path.startswith("/v1/"):
        return refused_to_sdk(reply, status, kind)
    assert (reply.status, reply.error["type"]) == (status, kind), reply.body
    assert reply.header("content-type") == "application/problem+json"
    problem: dict[str, Any] = reply.json()
    assert problem["type"].endswith(f":{kind}")
    assert problem["status"] == status
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["detail"] == problem["error"]["message"] != ""
    assert problem["instance"].startswith("/")
    assert problem["error"]["request_id"] == reply.header("x-request-id")
    assert isinstance(problem["error"]["recoverable"], bool)
    wait = problem["error"].get("retry_after_seconds")
    assert (wait is None) == (reply.header("retry-after") is None)
    if status in (429, 503):
        assert wait is not None
    if wait is not None:
        assert int(reply.header("retry-after") or "") >= wait > 0
    return problem


@dataclass(frozen=True)
class Stream(Reply):
    """A stream of server-sent events as raw blocks and as what they say."""

    @property
    def blocks(self) -> list[bytes]:
        return [block + b"\n\n" for block in self.body.removeprefix(RETRY).split(b"\n\n")[:-1]]

    @property
    def frames(self) -> list[bytes]:
        """The blocks that carry an event with an id."""
        return [block for block in self.blocks if block.startswith(b"id: ")]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame_event(frame) for frame in self.frames]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def narrative(self) -> str:
        return "".join(event["content"] for event in self.of("token"))

    @property
    def phases(self) -> list[str]:
        return [event["phase"] for event in self.of("metadata")]

    @property
    def last(self) -> dict[str, Any]:
        assert self.status == 200, self.body
        return self.events[-1]

    @property
    def turn_id(self) -> str:
        found = self.header("x-turn-id")
        assert found is not None
        return found


def seq_of(frame: bytes) -> int:
    """The number in the id of an event's block."""
    return int(frame.split(b"\n", 1)[0].rpartition(b":")[2])


def payload(frame: bytes) -> bytes:
    """The JSON of an event's block."""
    return frame[frame.index(b"data: ") + 6 : -2]


def frame_event(frame: bytes) -> dict[str, Any]:
    data = [line[6:] for line in frame.split(b"\n") if line.startswith(b"data: ")]
    event = json.loads(b"\n".join(data))
    assert isinstance(event, dict)
    return event


def read_frames(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The blocks of an open stream, one by one, as they arrive."""
    block = b""
    while line := response.readline():
        block += line
        if line == b"\n":
            yield block
            block = b""


class Live:
    """A stream as it arrives; `seen` is everything read so far."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        assert response.status == 200, response.read()
        self._headers = dict(response.getheaders())
        self._blocks = read_frames(response)
        self._body = b""

    @property
    def seen(self) -> Stream:
        return Stream(200, self._headers, self._body)

    @property
    def turn_id(self) -> str:
        return self.seen.turn_id

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Read up to the first event of this type with these fields."""
        for block in self._blocks:
            self._body += block
            block = block.removeprefix(RETRY)
            event = frame_event(block) if block.startswith((b"id: ", b"data: {")) else {}
            if event.get("type") == kind and fields.items() <= event.items():
                return event
        raise AssertionError(f"the stream ended without {kind} {fields}")

    def frames(self, count: int) -> list[bytes]:
        """Read until `count` blocks with an id are there."""
        while len(self.seen.frames) < count:
            self._body += next(self._blocks)
        return self.seen.frames

    def rest(self) -> Stream:
        """Everything, read to the end."""
        for block in self._blocks:
            self._body += block
        return self.seen
