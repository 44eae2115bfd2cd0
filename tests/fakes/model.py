"""A model server with scripted behaviour: the Responses API, Chat Completions, and their quirks."""

from __future__ import annotations

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .server import Connection, FakeServer, Request, opened, permitted, to_json

Json = dict[str, Any]
MODEL = "fake-model"
BREAKS = ("drop", "reset", "hang")
NARRATIVE = 'The torch gutters.\n\n"Nine," whispers Élise — and a chain drags over stone. 🔥'
POI_CREATE: Json = {
    "action": "create",
    "name": "The Humming Vault",
    "description": "Its stones hum like a slow heart.",
    "reference_tags": ["vault"],
}
COMBAT_START: Json = {
    "action": "start",
    "enemies": [{"name": "Chain Warden", "description": "Rust and rope.", "threat": "high"}],
    "combat_notes": "The warden blocks the bridge.",
}
REWARDS: Json = {
    "items": ["Clapper"],
    "currency": [{"name": "gold", "amount": 40}],
    "experience": 9,
}
QUEST_OFFER: Json = {
    "action": "offer",
    "quest_title": "The Ninth Bell",
    "quest_summary": "Silence the bell under the vault.",
    "quest_details": {"requirements": ["Find the bell"], "rewards": REWARDS},
    "progress_update": None,
}
META: Json = {
    "player_mood": "curious",
    "pacing_hint": "normal",
    "user_is_wandering": False,
    "user_asked_for_guidance": False,
}


def outcome(
    narrative: str = NARRATIVE,
    quest: Json | None = None,
    combat: Json | None = None,
    poi: Json | None = None,
    location: Json | None = None,
    meta: Json | None = None,
) -> Json:
    """A DungeonMasterOutcome; what is given goes in as it is, the rest is null (META for meta)."""
    intents = {
        "quest_intent": quest,
        "combat_intent": combat,
        "poi_intent": poi,
        "location_intent": location,
        "meta": META if meta is None else meta,
    }
    return {"narrative": narrative, "intents": intents}


def outcome_text(narrative: str = NARRATIVE, *, ensure_ascii: bool = False, **intents: Json) -> str:
    return json.dumps(outcome(narrative, **intents), ensure_ascii=ensure_ascii)


def any_text() -> str:
    """An outcome that is content of any kind, too."""
    prose = dict.fromkeys(("content", "description", "analysis"), NARRATIVE)
    return json.dumps({**outcome(), **prose})


@dataclass(frozen=True)
class Usage:
    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Script:
    """How one request is answered. The `*_after` numbers count text (or refusal) deltas; without
    streaming, drop, reset and hang happen half-way through the body. `failed_after` is
    `error_after` in chat, which has no failed event. `error_body` is also the in-stream error
    object. `usage` in a chat stream is sent only if asked for. `ignores_stream`: a stream that is
    asked for is answered whole. With `split_bytes` each piece is also an HTTP chunk of its own.
    `permits` has one permit for each delta of a stream that may leave. `keep_alive`: a stream that
    hangs sends a comment every so many seconds."""

    text: str = field(default_factory=outcome_text)
    token_chars: int = 4
    pieces: Sequence[str] | None = None
    status: int = 200
    error_body: Json | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reasoning: str = ""
    first_delta_null: bool = False
    usage: Usage | bool | None = True
    finish: str = "stop"
    refusal: str | None = None
    send_done: bool = True
    drop_after: int | None = None
    reset_after: int | None = None
    error_after: int | None = None
    failed_after: int | None = None
    incomplete_after: int | None = None
    hang_after: int | None = None
    hang: bool = False
    keep_alive: float = 0.0
    pace: float = 0.0
    gate: threading.Event | None = None
    gate_after: int = 0
    permits: threading.Semaphore | None = None
    per_write: int = 1
    split_bytes: int | None = None
    raw_stream: bytes | None = None
    ignores_stream: bool = False
    crlf: bool = False
    comments: bool = False

    def ending(self) -> tuple[int | None, str]:
        for how in ("drop", "reset", "error", "failed", "incomplete", "hang"):
            after: int | None = getattr(self, f"{how}_after")
            if after is not None:
                return after, how
        return None, "end"


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


class ApiFormat(ABC):
    """What both APIs say of one request."""

    def __init__(self, script: Script, request: Request) -> None:
        self.script = script
        self.body: Json = request.json()
        self.model: str = self.body.get("model", MODEL)
        self.thoughts = cut(script.reasoning, script.token_chars)
        after, self.how = script.ending()
        said = script.text if script.refusal is None else script.refusal
        whole = script.pieces if script.pieces is not None else cut(said, script.token_chars)
        self.pieces = list(whole)[:after]
        self.said = "".join(self.pieces)
        self.finish = "length" if self.how == "incomplete" else script.finish
        asked: Json = self.body.get("stream_options") or {}
        self.wants_usage = bool(asked.get("include_usage"))
        self.padding = {} if asked.get("include_obfuscation") is False else {"obfuscation": "xYz9"}
        error = script.error_body if isinstance(script.error_body, dict) else {}
        self.error: Json = {"code": "server_error", "message": "the model fell over"} | error

    def counted(self) -> Usage | None:
        if self.script.usage is True:
            thoughts = len(self.thoughts)
            return Usage(900, len(self.pieces) + thoughts, reasoning=thoughts)
        return self.script.usage or None

    @abstractmethod
    def opening(self) -> list[Json]: ...

    @abstractmethod
    def deltas(self) -> list[Json]: ...

    @abstractmethod
    def closing(self) -> list[Json]: ...

    @abstractmethod
    def whole(self) -> Json: ...

    def frames(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The stream before, in and after its deltas; nothing after them if it breaks off."""
        if self.script.raw_stream is not None:
            return [], [self.script.raw_stream], []
        closing = [] if self.how in BREAKS else self.closing()
        parts = self.opening(), self.deltas(), closing
        first, second, third = ([self.frame(event) for event in part] for part in parts)
        return first, second, third

    @abstractmethod
    def frame(self, event: Json) -> bytes: ...

    def lines(self, *fields: bytes) -> bytes:
        lines = [b": keepalive", b""] if self.script.comments else []
        end = b"\r\n" if self.script.crlf else b"\n"
        return end.join([*lines, *fields, b"", b""])


class ResponsesDialect(ApiFormat):
    """https://platform.openai.com/docs/api-reference/responses-streaming"""

    sequence = 0

    def _thought(self, status: str) -> Json:
        text = self.script.reasoning if status == "completed" else ""
        summary = [{"type": "summary_text", "text": text}] if text else []
        return {"id": "rs_1", "type": "reasoning", "summary": summary, "status": status}

    def _part(self, said: str) -> Json:
        if self.script.refusal is not None:
            return {"type": "refusal", "refusal": said}
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": said}

    def _message(self, status: str) -> Json:
        content = [] if status == "in_progress" else [self._part(self.said)]
        return {
            "id": "msg_1",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _response(self, status: str, **more: Any) -> Json:
        fixed = {"id": "resp_1", "object": "response", "created_at": 1767225600}
        options = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        empty: Json = {"error": None, "incomplete_details": None, "output": [], "usage": None}
        return {**fixed, "status": status, "model": self.model, **options, **empty, **more}

    def _usage(self) -> Json | None:
        usage = self.counted()
        if usage is None:
            return None
        return {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        }

    def whole(self) -> Json:
        if self.how in ("error", "failed"):
            return self._response("failed", error=self.error)
        status = "completed" if self.finish == "stop" else "incomplete"
        reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
        details = {"reason": reasons[self.finish]} if status == "incomplete" else None
        thought = [self._thought("completed")] if self.thoughts else []
        return self._response(
            status,
            incomplete_details=details,
            output=[*thought, self._message(status)],
            usage=self._usage(),
        )

    @property
    def _at(self) -> Json:
        return {"item_id": "msg_1", "output_index": int(bool(self.thoughts)), "content_index": 0}

    def _reasoning(self) -> list[Json]:
        item, text = {"output_index": 0}, {"type": "summary_text"}
        at = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
        all_of_it, kind = self.script.reasoning, "response.reasoning_summary"
        return [
            {"type": "response.output_item.added", **item, "item": self._thought("in_progress")},
            {"type": f"{kind}_part.added", **at, "part": {**text, "text": ""}},
            *({"type": f"{kind}_text.delta", **at, "delta": t} for t in self.thoughts),
            {"type": f"{kind}_text.done", **at, "text": all_of_it},
            {"type": f"{kind}_part.done", **at, "part": {**text, "text": all_of_it}},
            {"type": "response.output_item.done", **item, "item": self._thought("completed")},
        ]

    def opening(self) -> list[Json]:
        index = self._at["output_index"]
        begun, part = self._message("in_progress"), self._part("")
        return [
            {"type": "response.created", "response": self._response("in_progress")},
            {"type": "response.in_progress", "response": self._response("in_progress")},
            *(self._reasoning() if self.thoughts else []),
            {"type": "response.output_item.added", "output_index": index, "item": begun},
            {"type": "response.content_part.added", **self._at, "part": part},
        ]

    def deltas(self) -> list[Json]:
        if self.script.refusal is not None:
            return [{"type": "response.refusal.delta", **self._at, "delta": p} for p in self.pieces]
        kind = {"type": "response.output_text.delta", **self._at, "logprobs": []}
        return [{**kind, "delta": piece, **self.padding} for piece in self.pieces]

    def closing(self) -> list[Json]:
        whole = self.whole()
        if self.how == "error":
            return [{"type": "error", "param": None, **self.error}]
        if self.how == "failed":
            return [{"type": "response.failed", "response": whole}]
        done: Json = {"type": "response.output_text.done", "text": self.said, "logprobs": []}
        if self.script.refusal is not None:
            done = {"type": "response.refusal.done", "refusal": self.said}
        index, item = self._at["output_index"], self._message(whole["status"])
        return [
            {**done, **self._at},
            {"type": "response.content_part.done", **self._at, "part": self._part(self.said)},
            {"type": "response.output_item.done", "output_index": index, "item": item},
            {"type": f"response.{whole['status']}", "response": whole},
        ]

    def frame(self, event: Json) -> bytes:
        data = to_json({**event, "sequence_number": self.sequence})
        self.sequence += 1
        return self.lines(b"event: " + event["type"].encode(), b"data: " + data)


class ChatDialect(ApiFormat):
    """https://platform.openai.com/docs/api-reference/chat-streaming, and `reasoning_content` as
    DeepSeek and vLLM send it."""

    def _chunk(self, choices: list[Json], **more: Any) -> Json:
        fixed = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1767225600}
        unknown = {"usage": None} if self.wants_usage else {}
        return {**fixed, "model": self.model, "choices": choices, **unknown, **more}

    def _delta(self, delta: Json, finish: str | None = None, **more: Any) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._chunk([choice], **more)

    def _usage(self) -> Json | None:
        usage = self.counted()
        if usage is None:
            return None
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }

    def opening(self) -> list[Json]:
        nothing = None if self.script.first_delta_null else ""
        thoughts = [{"content": None, "reasoning_content": text} for text in self.thoughts]
        first = {"role": "assistant", "content": nothing, "refusal": None}
        return [self._delta(delta) for delta in (first, *thoughts)]

    def deltas(self) -> list[Json]:
        name = "content" if self.script.refusal is None else "refusal"
        return [self._delta({name: piece}, **self.padding) for piece in self.pieces]

    def closing(self) -> list[Json]:
        if self.how in ("error", "failed"):
            return [{"error": {"type": "server_error", "param": None, **self.error}}]
        usage = self._usage() if self.wants_usage else None
        return [self._delta({}, self.finish), *([self._chunk([], usage=usage)] if usage else [])]

    def whole(self) -> Json:
        if self.how in ("error", "failed"):
            return self.closing()[0]
        refused = self.script.refusal is not None
        message: Json = {"role": "assistant", "content": self.said, "refusal": None}
        message |= {"content": None, "refusal": self.said} if refused else {}
        message |= {"reasoning_content": self.script.reasoning} if self.thoughts else {}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1767225600,
            "model": self.model,
            "choices": [choice],
            "usage": self._usage(),
        }

    def frame(self, event: Json) -> bytes:
        return self.lines(b"data: " + to_json(event))

    def frames(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        opening, deltas, closing = super().frames()
        if self.script.send_done and closing and self.how not in ("error", "failed"):
            closing.append(self.lines(b"data: [DONE]"))
        return opening, deltas, closing


async def break_off(how: str, connection: Connection) -> None:
    await connection.flushed()
    if how == "drop":
        connection.drop()
    elif how == "reset":
        connection.reset()
    else:
        await connection.gone.wait()


class _Stream:
    def __init__(self, dialect: ApiFormat, connection: Connection) -> None:
        self._dialect = dialect
        self._script = dialect.script
        self._connection = connection
        self._buffer = b""

    async def play(self) -> None:
        opening, deltas, closing = self._dialect.frames()
        sse = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        self._connection.begin_chunks(200, {**sse, **self._script.headers})
        self._buffer = b"".join(opening)
        if self._script.per_write:
            await self._flush()
        for count, frame in enumerate(deltas):
            await self._pause_at(count)
            self._buffer += frame
            await self._delta_written(count + 1)
        await self._pause_at(len(deltas))
        self._buffer += b"".join(closing)
        broken = self._dialect.how in BREAKS
        await self._flush(last=not broken)
        while broken and self._script.keep_alive and not self._connection.gone.is_set():
            self._connection.chunk(b": keep-alive\n\n")
            await asyncio.sleep(self._script.keep_alive)
        if broken:
            await break_off(self._dialect.how, self._connection)

    async def _pause_at(self, count: int) -> None:
        if self._script.gate is not None and count == self._script.gate_after:
            await self._flush()
            await opened(self._script.gate)
        if self._script.permits is not None and count < len(self._dialect.pieces):
            await permitted(self._script.permits)

    async def _delta_written(self, count: int) -> None:
        per_write = self._script.per_write
        if self._script.pace or (per_write and count % per_write == 0):
            await self._flush()
        if self._script.pace:
            await asyncio.sleep(self._script.pace)

    async def _flush(self, *, last: bool = False) -> None:
        """Nothing is awaited once the end is written: the client may be gone at once."""
        data, self._buffer = self._buffer, b""
        size = self._script.split_bytes or len(data) or 1
        for at in range(0, len(data), size):
            ends = at + size >= len(data)
            self._connection.chunk(data[at : at + size], last=last and ends)
            if not (last and ends):
                await self._connection.flushed()
        if last and not data:
            self._connection.chunk(b"", last=True)


@dataclass
class Stats:
    """Answers: in progress, ended by this server (breaks too), left by the client midway."""

    open: int = 0
    ended: int = 0
    aborted: int = 0


class FakeModel(FakeServer):
    """Each POST takes the next of `scripts`, or else `default`."""

    def __init__(self, default: Script | Callable[[Request], Script] | None = None) -> None:
        super().__init__()
        self.default = default or Script()
        self.stats = Stats()
        self._scripts: deque[Script] = deque()

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def calls(self) -> list[Json]:
        """The bodies of the requests for text; their headers are in `requests`."""
        return [r.json() for r in self.requests if r.method == "POST" and r.path in DIALECTS]

    def then(self, *scripts: Script) -> None:
        with self.changed:
            self._scripts.extend(scripts)

    @property
    def unused(self) -> int:
        """How many of `scripts` nobody has asked for yet."""
        with self.changed:
            return len(self._scripts)

    async def respond(self, request: Request, connection: Connection) -> None:
        dialect = DIALECTS.get(request.path) if request.method == "POST" else None
        if dialect is not None:
            await self._counted(dialect(self._script_for(request), request), connection)
        elif (request.method, request.path) == ("GET", "/v1/models"):
            model = {"id": MODEL, "object": "model", "created": 1767225600, "owned_by": "fake"}
            connection.reply(200, to_json({"object": "list", "data": [model]}))
        else:
            error = {"message": "no such route", "type": "invalid_request_error"}
            connection.reply(404, to_json({"error": error}))

    def _script_for(self, request: Request) -> Script:
        with self.changed:
            if self._scripts:
                return self._scripts.popleft()
        return self.default if isinstance(self.default, Script) else self.default(request)

    async def _counted(self, dialect: ApiFormat, connection: Connection) -> None:
        self._count(open=1)
        try:
            await self._answer(dialect, connection)
        except asyncio.CancelledError:
            self._count(open=-1, aborted=1)
            raise
        self._count(open=-1, ended=1)

    def _count(self, **changes: int) -> None:
        with self.changed:
            for name, change in changes.items():
                setattr(self.stats, name, getattr(self.stats, name) + change)
            self.changed.notify_all()

    async def _answer(self, dialect: ApiFormat, connection: Connection) -> None:
        script = dialect.script
        if script.hang:
            await connection.gone.wait()
        elif script.status != 200:
            error = {"type": "server_error", "param": None, **dialect.error}
            body = script.error_body if script.error_body is not None else {"error": error}
            raw = body if isinstance(body, bytes) else to_json(body)
            connection.reply(script.status, raw, script.headers)
        elif dialect.body.get("stream") and not script.ignores_stream:
            await _Stream(dialect, connection).play()
        else:
            await self._whole(dialect, connection)

    async def _whole(self, dialect: ApiFormat, connection: Connection) -> None:
        if dialect.script.gate is not None:
            await opened(dialect.script.gate)
        body = to_json(dialect.whole())
        if dialect.how not in BREAKS:
            connection.reply(200, body, dialect.script.headers)
            return
        connection.reply(200, body[: len(body) // 2], {"content-length": str(len(body))})
        await break_off(dialect.how, connection)


DIALECTS: dict[str, type[ApiFormat]] = {
    "/v1/responses": ResponsesDialect,
    "/v1/chat/completions": ChatDialect,
}


PIECES = ['{"narrative": "', "Rain", " drums on the roof.", '", "intents": {}}']


@contextmanager
def gated(model: FakeModel) -> Iterator[threading.Event]:
    """A turn that waits behind its first word until the gate is opened."""
    gate = threading.Event()
    model.then(Script(pieces=PIECES, gate=gate, gate_after=2))
    try:
        yield gate
    finally:
        gate.set()
