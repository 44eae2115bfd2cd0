"""Upstreams behind their ports, in the process: a journey-log and a model that a test scripts."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from app.core.context import Context, Place
from app.core.messages import Message, Prompt
from app.core.results import Usage
from app.core.writes import PlannedWrite
from app.ports.call import CallMeta
from app.ports.journey_log import Landed, StoryTurn, WriteResult
from app.ports.model import ModelEnd, ModelFailed, ModelRequest, OnDelta

from .model import outcome_text

DONE = WriteResult("done", 200)
CONFLICT = WriteResult("refused", 409, "journey-log refused it (409)")
REFUSED = WriteResult("refused", 422, "journey-log refused it (422)")
NOT_SENT = WriteResult("not_sent", error="journey-log cannot be reached")
UNKNOWN = WriteResult("unknown", error="journey-log did not answer in time")
FAILED = WriteResult("unknown", 500, "journey-log failed (500)")

NOTHING = {"action": "none"}
QUIET = outcome_text(quest=NOTHING, poi=NOTHING)
"""An outcome in which nothing happens, whatever policy grants."""

PROMPT = Prompt((Message("user", "go"),))
Look = Landed | Exception


class ScriptedJourneyLog:
    """Writes are done and found, unless `results` and `looks` of their subsystem say otherwise."""

    def __init__(self, status: str = "Healthy") -> None:
        self.status = status
        self.context_error: Exception | None = None
        self.results: defaultdict[str, deque[WriteResult]] = defaultdict(deque)
        self.looks: defaultdict[str, deque[Look]] = defaultdict(deque)
        self.last_look: dict[str, Look] = {}
        """What is seen once `looks` is used up."""
        self.sent: list[tuple[float, PlannedWrite]] = []
        self.looked: list[str] = []
        self.reads = 0
        self.on_write: Callable[[PlannedWrite], None] = lambda write: None
        self.gate: asyncio.Event | None = None
        """Writes wait for it, and reads of the context for the next one."""
        self.context_gate: asyncio.Event | None = None

    @property
    def written(self) -> list[str]:
        """The subsystems of what was sent, in order."""
        return [write.subsystem for _, write in self.sent]

    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context:
        self.reads += 1
        if self.context_error is not None:
            raise self.context_error
        if self.context_gate is not None:
            await self.context_gate.wait()
        state = {"status": self.status}
        return Context.model_validate({"character_id": character_id, "player_state": state})

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]:
        return []

    async def write(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> WriteResult:
        self.sent.append((asyncio.get_running_loop().time(), write))
        self.on_write(write)
        if self.gate is not None:
            await self.gate.wait()
        results = self.results[write.subsystem]
        return results.popleft() if results else DONE

    async def landed(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> Landed:
        self.looked.append(write.subsystem)
        looks = self.looks[write.subsystem]
        seen = looks.popleft() if looks else self.last_look.get(write.subsystem, "yes")
        if isinstance(seen, Exception):
            raise seen
        return seen

    async def create_character(self, user_id: str, fields: dict[str, str], meta: CallMeta) -> str:
        return "new"

    async def characters(self, user_id: str, meta: CallMeta) -> list[dict[str, Any]]:
        return []

    async def story(self, user_id: str, character_id: str, meta: CallMeta) -> list[StoryTurn]:
        return []

    async def adventure_prompt(self, user_id: str, character_id: str, meta: CallMeta) -> str:
        return "A bell counts."

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return


class ScriptedModel:
    """Answers `text` in pieces of eight characters; waits for `gate` in the middle."""

    name = "scripted"
    api = "chat"

    def __init__(self, text: str = QUIET) -> None:
        self.text = text
        self.whole: str | None = None
        """What is answered without streaming, where that is something else."""
        self.failure: ModelFailed | None = None
        self.gate: asyncio.Event | None = None
        self.on_request: Callable[[ModelRequest], None] = lambda request: None
        self.calls = 0

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        self.calls += 1
        self.on_request(request)
        if self.failure is not None:
            raise self.failure
        pieces = [self.text[at : at + 8] for at in range(0, len(self.text), 8)]
        on_delta(pieces[:4])
        if self.gate is not None:
            await self.gate.wait()
        on_delta(pieces[4:])
        return ModelEnd(
            Usage(model=self.name, input_tokens=30, output_tokens=20, total_tokens=50), self.name
        )

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return self.text if self.whole is None else self.whole, ModelEnd(
            Usage(model=self.name, input_tokens=30, output_tokens=20, total_tokens=50), self.name
        )

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return
