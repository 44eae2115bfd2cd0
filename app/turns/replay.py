"""Replaying a stored turn offline, from its recording.

The same pipeline runs on recorded upstreams: context, policy rolls, the model's deltas read by
read, journey-log's answers. What comes out must be what was stored. Times are not compared, nor
`settling`: how long an answer was lost is no part of the outcome.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.context import CharacterProgress, Context, Place
from app.core.events import Entry
from app.core.policy import PolicyConfig, PolicyDecision
from app.core.record import CommitRecord, Recording
from app.core.references import Reference
from app.core.writes import PlannedWrite, WritePlan
from app.generation.fair_limiter import FairLimiter
from app.generation.request import GenerationLimits
from app.generation.service import GenerationService
from app.ports.call import CallMeta
from app.ports.clock import Clock
from app.ports.event_log import EventLog
from app.ports.journey_log import Landed, WriteResult
from app.ports.model import ModelEnd, ModelFailed, ModelRequest, OnDelta
from app.ports.signals import NoSignals
from app.ports.store import Admitted, Claim, Ending, Kept, StoredTurn, TurnRequest, Verdict
from app.turns.delivery import Deliverer
from app.turns.dependencies import Dependencies
from app.turns.executor import TurnExecutor
from app.turns.holding import Holding
from app.turns.kinds import of_characters
from app.turns.observe import unobserved
from app.turns.pipeline import TurnOrchestrator
from app.turns.references import References


class NotReplayable(Exception):
    """The turn has no recording, or ended before there was anything to generate."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`what`: events[K], plan, result. The two values are JSON."""

    what: str
    stored: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Replay:
    events: int
    narrative_length: int
    differences: list[Difference]


async def replay(stored: StoredTurn, entries: Sequence[Entry], event_log: EventLog) -> Replay:
    """Raises `NotReplayable`."""
    recording = stored.recording
    if stored.request.get("kind") == "table":
        raise NotReplayable("what was said at its table is no part of a recording")
    if stored.request.get("kind") in ("chat", "content"):
        raise NotReplayable("no recording is made of a message of a chat")
    if recording is None or recording.context is None or recording.decision is None:
        raise NotReplayable("the turn's recording is no longer kept, or it never began")
    error = (stored.result or {}).get("error") or {}
    if stored.status != "complete" and error.get("type") != "llm_response_error":
        raise NotReplayable(f"the turn ended as {error.get('type', stored.status)}")
    recorded = _comparable(entries)
    upstream = _Recorded(recording, [event for event in recorded if event["type"] == "write"])
    executor = _executor(upstream, recording, event_log, _referred(recorded))
    progress = recording.progress or CharacterProgress()
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    durable.set_result(None)
    admitted = Admitted(Claim(stored.turn_id, 1), progress, durable)
    turn = await executor.begin(admitted, TurnRequest(**stored.request | {"commit": "auto"}))
    await turn.wait_ended()
    again = _comparable(upstream.recorded)
    differences = _compare(recorded, again)
    if recording.plan != turn.plan:
        differences.append(Difference("plan", _json(recording.plan), _json(turn.plan)))
    return Replay(len(again), len(turn.narrative), differences)


def _referred(recorded: Sequence[dict[str, Any]]) -> References:
    """The references of the recorded prompt, without their texts: only their ids are recorded."""
    known = next((event for event in recorded if event.get("phase") == "context"), {})
    found = [Reference(one, "") for one in known.get("references", ())]

    async def references(_: TurnRequest) -> Sequence[Reference]:
        return found

    return references


def _executor(
    upstream: _Recorded, recording: Recording, event_log: EventLog, references: References
) -> TurnExecutor:
    clock = Clock(now=lambda: recording.marker / 1_000_000)
    store: Any = upstream
    journey_log: Any = upstream
    deliverer = Deliverer(journey_log, store, unobserved)
    policy: Any = upstream
    dependencies = Dependencies(
        journey_log=journey_log,
        store=store,
        generation=GenerationService(
            [upstream], FairLimiter(1, 1), GenerationLimits(max_retries=0)
        ),
        deliverer=deliverer,
        policy=policy,
        policy_config=PolicyConfig,
        observe=unobserved,
        holding=Holding(store),
        sparks_enabled=bool(recording.sparks),
        references=references,
    )
    orchestrator = TurnOrchestrator(dependencies)
    return TurnExecutor(
        of_characters(orchestrator), store, event_log, clock, unobserved, NoSignals()
    )


@dataclass
class _Recorded:
    """Model, journey-log, policy and store of one recorded turn. `receipts` are its write
    events, `recorded` is what the replay would have written to the journal."""

    recording: Recording
    receipts: list[dict[str, Any]]
    name: str = "recording"
    api: str = "recording"
    sent: int = field(default=0)
    recorded: list[Entry] = field(default_factory=list)

    # -- the model --------------------------------------------------------------------------------

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        for deltas in self.recording.reads:
            on_delta(deltas)
        return ModelEnd(self.recording.usage, self.recording.usage.model)

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        """Only the repair of intents is not streamed."""
        if not self.recording.repair:
            raise ModelFailed("the repair failed")
        return self.recording.repair, ModelEnd(self.recording.usage, self.recording.usage.model)

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return

    # -- policy -----------------------------------------------------------------------------------

    def grants_spark(self, config: PolicyConfig, character_id: str, turn_number: int) -> bool:
        return True

    def decide(self, *_: object) -> PolicyDecision:
        assert self.recording.decision is not None
        return self.recording.decision

    # -- journey-log ------------------------------------------------------------------------------

    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context:
        assert self.recording.context is not None
        return self.recording.context

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]:
        return self.recording.sparks

    async def write(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> WriteResult:
        if self.sent >= len(self.receipts):
            return WriteResult("refused", error="no receipt was stored")
        receipt = self.receipts[self.sent]
        self.sent += 1
        if receipt["success"]:
            return WriteResult("done", 200)
        status = 409 if receipt["action"] == "skipped" else 422
        return WriteResult("refused", status, receipt["error"])

    async def landed(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> Landed:
        return "other"

    # -- the store --------------------------------------------------------------------------------

    async def knows_place(self, character_id: str, name: str) -> bool:
        return self.recording.known_place

    async def validate(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        self.recorded += entries
        return Verdict.STORED

    async def step(self, claim: Claim, step: int, entries: Sequence[Entry]) -> Kept:
        self.recorded += entries
        return Verdict.STORED

    async def finish(self, claim: Claim, ending: Ending) -> Verdict:
        self.recorded += ending.entries
        return Verdict.STORED

    async def promote(self, exclusive_key: str) -> str | None:
        return None


# Times differ; the action is an input, and older releases did not show it.
_NOT_COMPARED = ("timestamp", "timing", "user_action")


def _comparable(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    events = [json.loads(data) for _, _, data in entries]
    return [
        {name: value for name, value in event.items() if name not in _NOT_COMPARED}
        for event in _last_generation(events)
        if event.get("phase") not in ("settling", "queued", "awaiting_commit")
    ]


def _last_generation(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the earlier generations of a retold turn, which are in no recording."""
    phases = [event.get("phase") for event in events]
    if "retelling" not in phases:
        return events
    begin, again = phases.index("narrative") + 1, len(phases) - phases[::-1].index("retelling")
    return events[:begin] + events[again:]


def _compare(stored: list[dict[str, Any]], replayed: list[dict[str, Any]]) -> list[Difference]:
    longest = max(len(stored), len(replayed))
    pairs = [
        (stored[k] if k < len(stored) else None, replayed[k] if k < len(replayed) else None)
        for k in range(longest)
    ]
    return [
        Difference(f"events[{k + 1}]", _json(old), _json(new))
        for k, (old, new) in enumerate(pairs)
        if old != new
    ]


def _json(value: WritePlan | dict[str, Any] | None) -> str:
    plain = value.model_dump() if isinstance(value, WritePlan) else value
    return json.dumps(plain, sort_keys=True)
