"""A turn while it runs in this process."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

from app.core.access import Resource
from app.core.context import CharacterProgress, Context, Place
from app.core.money import NOTHING, Amount, amount_of
from app.core.outcome import Intents
from app.core.policy import PolicyDecision
from app.core.record import CommitRecord, Recording
from app.core.results import Phases, Timing, Usage
from app.core.stages import READABLE, Stage, advance
from app.core.wire import MetadataFields, Rolled, Rolls
from app.core.writes import WritePlan
from app.errors import DungeonMasterError
from app.eventlog.writer import LogWriter
from app.ports.call import CallMeta
from app.ports.clock import Clock
from app.ports.store import Choice, Claim, TurnRequest
from app.ports.turn import resource_of


class TurnState:
    """Mutable state of one turn, owned by the task that runs it.

    Before its claim is durable, the model is not asked, nothing is recorded and the client is not
    answered. `intended` and `first_token`: monotonic seconds at which the transaction with the latest
    intent began, and the first text was shown. `spent_on_calls`: by all model calls; None: not known.
    `heard` and `heard_at_once`: the model's deltas, and how many came with each upstream read; with a
    list of lists, the garbage collector would stand still over the objects of hundreds of streams.

    With more than thirty attributes it would have a dict five times the size.
    """

    def __init__(
        self,
        claim: Claim,
        request: TurnRequest,
        progress: CharacterProgress,
        writer: LogWriter,
        clock: Clock,
    ) -> None:
        self.claim = claim
        self.request = request
        self.progress = progress
        self.writer = writer
        self.clock = clock
        self.started_at = clock.now()
        self.started = clock.monotonic()
        self.stage = Stage.ADMITTED
        self._entered = {Stage.ADMITTED}
        self._waiters: list[asyncio.Future[None]] = []
        self._choices: dict[str, Choice | None] = {}  # by id; None: it was taken
        self._durable = False
        self.task: asyncio.Task[None] | None = None
        self.error: DungeonMasterError | None = None
        # for timing, audit and logs
        self.phases = Phases()
        self.intended = 0.0
        self.first_token: float | None = None
        self.deltas = 0
        self.context: Context | None = None
        self.decision: PolicyDecision | None = None
        self.intents: Intents | None = None
        self.usage = Usage()
        self.spent_on_calls: Amount | None = NOTHING
        self.sparks: list[Place] = []
        self.heard: list[str] = []
        self.heard_at_once: list[int] = []
        self.repair: str | None = None  # see `Recording`
        self.known_place, self.marker = False, 0
        self.plan: WritePlan | None = None

    # -- where the turn is ------------------------------------------------------------------------

    def advance(self, to: Stage) -> None:
        """Raises `IllegalTransition`."""
        self.stage = advance(self.stage, to)
        self._entered.add(to)
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def end(self) -> None:
        """The last step, unless it was taken already."""
        if self.stage is not Stage.ENDED:
            self.advance(Stage.ENDED)

    @property
    def readable(self) -> bool:
        """Readers may see its stream: its context was read, or it is queued."""
        return not self._entered.isdisjoint(READABLE)

    async def wait_readable(self) -> None:
        """Returns also when the turn ends without ever being readable."""
        while not self.readable and self.stage is not Stage.ENDED:
            await self._step()

    async def wait_ended(self) -> None:
        """Returns once the terminal event is visible, or the turn was lost to another owner."""
        while self.stage is not Stage.ENDED:
            await self._step()

    async def wait_awaiting(self) -> bool:
        """Returns once the turn awaits its commit (True) or has ended."""
        while self.stage not in (Stage.AWAITING, Stage.ENDED):
            await self._step()
        return self.stage is Stage.AWAITING

    def made_durable(self) -> None:
        """The claim would outlive a crash."""
        self._durable = True
        self._wake()

    async def wait_durable(self) -> None:
        """Returns once the claim would outlive a crash."""
        while not self._durable:
            await self._step()

    async def wait_while(self, stage: Stage) -> None:
        """Returns once the turn is in another stage."""
        while self.stage is stage:
            await self._step()

    def choose(self, choice: Choice) -> None:
        """Record a choice about the outcome. The journal has it already; a choice that arrives twice
        counts once."""
        if choice.id not in self._choices:
            self._choices[choice.id] = choice
            self._wake()

    async def chosen(self) -> Choice:
        """The next choice, once."""
        while not (fresh := [choice for choice in self._choices.values() if choice]):
            await self._step()
        self._choices = dict.fromkeys(self._choices)
        return fresh[-1]

    async def _step(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    # -- what it has come to ----------------------------------------------------------------------

    def restore(self, record: CommitRecord, phase: str = "writes") -> None:
        """Take up a validated turn where the journal has it."""
        self.started = self.clock.monotonic() - (self.clock.now() - record.started_at)
        self.progress, self.intents, self.usage = record.progress, record.intents, record.usage
        self.spent_on_calls = record.spent
        self.phases = record.timing.phases.model_copy()
        self.deltas = record.timing.total_tokens
        first = record.timing.time_to_first_token_ms
        self.first_token = None if first is None else self.started + first / 1000
        view = self.writer.view
        view.parts, view.length = [record.narrative], len(record.narrative)
        view.tokens, view.phase = record.tokens_streamed, phase
        view.extras = dict(record.extras)
        drafts = phase != "writes" and record.hold is not None and record.hold.reason == "approval"
        self.writer.drafts = view.draft = drafts

    def go_back(self, record: CommitRecord, recording: Recording) -> None:
        """Go back to an earlier outcome; what was spent since then stays spent."""
        self.intents, self.usage = record.intents, record.usage
        self.context, self.decision = recording.context, recording.decision
        self.sparks, self.repair = recording.sparks, recording.repair
        self.heard = [text for read in recording.reads for text in read]
        self.heard_at_once = [len(read) for read in recording.reads]
        self.deltas = record.timing.total_tokens
        self.known_place, self.marker = recording.known_place, recording.marker
        self.plan = recording.plan

    @property
    def turn_id(self) -> str:
        return self.claim.turn_id

    @property
    def resource(self) -> Resource:
        """See `resource_of`."""
        asked = self.request
        return resource_of(
            self.turn_id, asked.kind, asked.user_id, asked.character_id, asked.exclusive
        )

    @property
    def meta(self) -> CallMeta:
        """The ids that are sent with every call to an upstream."""
        return CallMeta(self.request.request_id, self.request.traceparent)

    @property
    def reads(self) -> list[list[str]]:
        """The model's deltas by upstream read."""
        rest = iter(self.heard)
        return [list(islice(rest, count)) for count in self.heard_at_once]

    @property
    def narrative(self) -> str:
        """The narrative as far as it was streamed."""
        return self.writer.view.narrative

    def spent(self, phase: str, since: float) -> None:
        """Book the time since `since` (monotonic) under a field of `Phases`."""
        elapsed = round((self.clock.monotonic() - since) * 1000, 3)
        setattr(self.phases, phase, getattr(self.phases, phase) + elapsed)

    def start_fields(self) -> MetadataFields:
        """The fields of the `start` event."""
        warnings = list(self.request.budget_warnings)
        fields = MetadataFields(turn_id=self.turn_id)
        return {**fields, "budget_warnings": warnings} if warnings else fields

    def pay(self, usage: Usage) -> None:
        """Book what a model call of the turn has cost."""
        self.spent_on_calls = spent = (self.spent_on_calls or NOTHING) + amount_of(usage)
        if usage.cost_micros is not None:
            self.usage = self.usage.model_copy(update={"cost_micros": spent.micros})

    def spent_fields(self) -> dict[str, Any]:
        """The spending so far as fields of a `CommitRecord`."""
        spent = self.spent_on_calls
        return {
            "tokens_spent": None if spent is None else spent.tokens,
            "micros_spent": 0 if spent is None else spent.micros,
        }

    def timing(self) -> Timing:
        """Milliseconds so far."""
        first = self.first_token
        return Timing(
            total_duration_ms=round((self.clock.monotonic() - self.started) * 1000, 3),
            time_to_first_token_ms=None
            if first is None
            else round((first - self.started) * 1000, 3),
            total_tokens=self.deltas,
            phases=self.phases.model_copy(),
        )

    def recording(self) -> Recording:
        """The recording that a replay of this turn needs, as far as the turn has come; it is built
        from valid parts and not validated again."""
        return Recording.model_construct(
            user_action=self.request.user_action,
            opening=self.request.kind == "opening",
            dry_run=self.request.dry_run,
            context=self.context and self.context.brief(),
            progress=self.progress,
            decision=self.decision,
            sparks=self.sparks,
            reads=self.reads,
            usage=self.usage,
            repair=self.repair,
            known_place=self.known_place,
            marker=self.marker,
            plan=self.plan,
        )


def policy_fields(decision: PolicyDecision) -> Rolls:
    """The rolls of the decision as fields of the `policy` event."""
    quest, poi = decision.quest, decision.poi
    return Rolls(
        quest=Rolled(eligible=quest.eligible, passed=quest.passed),
        poi=Rolled(eligible=poi.eligible, passed=poi.passed),
    )
