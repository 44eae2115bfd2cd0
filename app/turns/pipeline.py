"""The one pipeline of a turn: context → policy → prompt → phase 1 → phase 2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from app.core.context import Context, Place, story_has_begun
from app.core.events import Metadata
from app.core.intents import normalize, texts_of
from app.core.opening import player_words
from app.core.outcome import DungeonMasterOutcome, Intents
from app.core.policy import NOTHING_GRANTED, PolicyConfig, PolicyEngine
from app.core.prompt import Scene
from app.core.record import CommitRecord
from app.core.results import Validation
from app.core.stages import Stage
from app.core.wire import MetadataFields
from app.core.writes import (
    dry_run_summary,
    first_marker,
    place_to_create,
    plan_writes,
)
from app.errors import LLMResponseError, StoryHasBegun
from app.generation.request import GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.journey_log import JourneyLog
from app.ports.store import DeliveryProgress, Ending, TurnStore
from app.turns.announcing import turn_event
from app.turns.delivery import Deliverer, completion
from app.turns.narration import Narration
from app.turns.observe import IntentsRepaired, Observer, OutcomeParsed, PolicyDecided
from app.turns.persistence import commit, commit_intent
from app.turns.repair import intents_alone
from app.turns.state import TurnState, policy_fields
from app.turns.story import Saved, Stories, Story

SPARK_PATIENCE = 0.25  # seconds after the context is there


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`policy_config` gives the values in force; they may change between two turns."""

    journey_log: JourneyLog
    store: TurnStore
    generation: GenerationService
    deliverer: Deliverer
    policy: PolicyEngine
    policy_config: Callable[[], PolicyConfig]
    observe: Observer
    limits: GenerationLimits | None = None
    narrative_bytes: int = 50_000
    sparks_enabled: bool = False
    stories: Stories = field(default_factory=Stories)


class TurnOrchestrator:
    """Takes a turn of a character from context to delivery."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._use = dependencies

    async def run(self, turn: TurnState) -> None:
        """Take the turn to its end. Raises `DungeonMasterError`, `CancelledFirst`, `LostTurn`.

        Returns when the terminal event `complete` is durable and visible.
        """
        story = self._use.stories.of(turn.request)
        turn.writer.append(Metadata("start", 0, _start_fields(turn, story)))
        scene = await self._scene(turn, story)
        rolls = policy_fields(scene.decision)
        rolled = MetadataFields(quest=rolls["quest"], poi=rolls["poi"])
        turn.writer.append(Metadata("policy", 0, rolled))
        turn.writer.append(Metadata("narrative"))
        outcome = await self._narrate(turn, scene, story)
        if self._use.generation.moderated:
            await self._use.generation.judge(" | ".join(texts_of(outcome.intents)))
        record = await self._record(turn, scene, outcome, story.saved(turn, scene, outcome))
        if turn.request.dry_run:
            await self._rehearse(turn, record)
        else:
            await self._commit(turn, record)

    # -- context and policy -----------------------------------------------------------------------

    async def _scene(self, turn: TurnState, story: Story) -> Scene:
        began, config = turn.clock.monotonic(), self._use.policy_config()
        bare = story.context(turn)
        context, sparks = await self._gather(turn, config) if bare is None else (bare, [])
        turn.spent("context_ms", began)
        opening = turn.request.kind == "opening"
        if opening and story_has_begun(context, turn.progress):
            raise StoryHasBegun(extra={"character_id": turn.request.character_id})
        turn.context, turn.sparks = context.brief(), sparks
        await turn.durable.wait()
        turn.writer.append(Metadata("context"))
        turn.advance(Stage.GENERATING)
        decision = (
            self._use.policy.decide(config, context, turn.progress, sparks, turn.clock.now())
            if bare is None
            else NOTHING_GRANTED
        )
        turn.decision = decision
        self._use.observe(PolicyDecided(turn, decision))
        action = turn.request.user_action
        scene = Scene(context, turn.progress, decision, sparks, action, opening)
        return await story.scene(turn, scene)

    async def _gather(self, turn: TurnState, config: PolicyConfig) -> tuple[Context, list[Place]]:
        request = turn.request
        journey_log = self._use.journey_log
        read = journey_log.context(request.user_id, request.character_id, turn.meta)
        if not self._spark_granted(turn, config):
            return await read, []
        fetch = asyncio.create_task(
            journey_log.sparks(request.user_id, request.character_id, turn.meta)
        )
        try:
            context = await read
            # Beside the context they are free; nobody waits long for memories.
            await asyncio.wait((fetch,), timeout=SPARK_PATIENCE)
            return context, fetch.result() if fetch.done() else []
        finally:
            fetch.cancel()

    def _spark_granted(self, turn: TurnState, config: PolicyConfig) -> bool:
        if not self._use.sparks_enabled or turn.request.dry_run:
            return False
        number = turn.progress.turns + 1
        return self._use.policy.grants_spark(config, turn.request.character_id, number)

    # -- phase 1 ----------------------------------------------------------------------------------

    async def _narrate(self, turn: TurnState, scene: Scene, story: Story) -> DungeonMasterOutcome:
        """The outcome, validated, its narrative shown while it formed."""
        began, use = turn.clock.monotonic(), self._use
        request = GenerationRequest(
            story.prompt(scene),
            Purpose.OPENING if scene.opening else Purpose.TURN,
            turn.request.user_id,
            turn.meta,
            use.limits,
        )
        narration = story.narration(turn, use.narrative_bytes, use.observe)
        try:
            await use.generation.generate(request, narration)
            outcome = narration.outcome or await self._repaired(turn, scene, narration)
            if outcome is not None and narration.is_told(outcome):
                outcome = await story.complete(turn, scene, outcome)
        except LLMResponseError:
            self._use.observe(OutcomeParsed(turn, valid=False))
            raise
        finally:
            turn.spent("llm_ms", began)
        return self._validated(turn, narration, outcome)

    async def _repaired(
        self, turn: TurnState, scene: Scene, narration: Narration
    ) -> DungeonMasterOutcome | None:
        """The outcome with the narrative that was shown; None where that was not whole."""
        if not narration.told:
            return None
        use = self._use
        intents = await intents_alone(
            use.generation, turn, scene, use.limits or use.generation.limits
        )
        use.observe(IntentsRepaired(turn, turn.usage.model, intents is not None))
        return narration.repaired(intents or Intents())

    # -- phase 2 ----------------------------------------------------------------------------------

    def _validated(
        self, turn: TurnState, narration: Narration, outcome: DungeonMasterOutcome | None
    ) -> DungeonMasterOutcome:
        """The narrative persisted must be, character for character, the one streamed."""
        turn.advance(Stage.VALIDATING)
        began = turn.clock.monotonic()
        valid = outcome is not None and narration.is_told(outcome)
        turn.spent("validation_ms", began)
        self._use.observe(OutcomeParsed(turn, valid=valid))
        if outcome is None or not valid:
            turn.writer.append(_validation(turn))
            raise LLMResponseError
        return outcome

    async def _record(
        self, turn: TurnState, scene: Scene, outcome: DungeonMasterOutcome, saved: Saved
    ) -> CommitRecord:
        """Normalise the intents and freeze the write plan."""
        context, progress = scene.context, turn.progress
        intents = normalize(outcome.intents, scene.decision, context, progress)
        turn.intents = intents
        request = turn.request
        turn.known_place = await self._knows(request.character_id, place_to_create(intents))
        turn.marker = first_marker(turn.clock.now(), progress, context)
        turn.plan = plan_writes(
            user_action=request.user_action,
            narrative=saved.text,
            intents=intents,
            decision=scene.decision,
            context=context,
            known_place=turn.known_place,
            marker=turn.marker,
            turn_id=turn.turn_id,
        )
        return CommitRecord(
            turn_id=turn.turn_id,
            user_id=request.user_id,
            character_id=request.character_id,
            request_id=request.request_id,
            traceparent=request.traceparent,
            started_at=turn.started_at,
            narrative=outcome.narrative,
            tokens_streamed=turn.writer.view.tokens,
            plan=turn.plan,
            intents=intents,
            progress=progress,
            timing=turn.timing(),
            usage=turn.usage,
            tokens_spent=turn.tokens_spent,
            extras=saved.extras,
            lines=saved.lines,
            validation=Validation(
                schema_valid=turn.repair is None, intents_normalized=intents != outcome.intents
            ),
        )

    async def _knows(self, character_id: str, place: str | None) -> bool:
        return place is not None and await self._use.store.knows_place(character_id, place)

    async def _rehearse(self, turn: TurnState, record: CommitRecord) -> None:
        complete = completion(turn, record, dry_run_summary(record.plan))
        result = turn.writer.preview(complete).result()
        ending = Ending(
            status="complete",
            result=result,
            event=turn_event(turn.turn_id, turn.request, "complete", result),
            entries=turn.writer.draft(_validation(turn), complete),
            recording=turn.recording(),
            tokens=turn.tokens_spent,
        )
        await commit(lambda: self._use.store.finish(turn.claim, ending))
        turn.writer.publish(ending.entries)

    async def _commit(self, turn: TurnState, record: CommitRecord) -> None:
        writes = Metadata("writes", turn.writer.view.tokens)
        entries = turn.writer.draft(_validation(turn), writes)
        store = self._use.store
        await commit_intent(
            turn, lambda: store.validate(turn.claim, record, entries, turn.recording())
        )
        turn.advance(Stage.WRITING)
        turn.writer.publish(entries)
        sent_at = turn.clock.now()
        await self._use.deliverer.deliver(turn, record, DeliveryProgress(0, 1, sent_at, sent_at))


def _start_fields(turn: TurnState, story: Story) -> MetadataFields:
    fields = MetadataFields(
        turn_id=turn.turn_id,
        user_action=player_words(turn.request.user_action) or None,
    )
    if turn.request.character_id:
        fields["character_id"] = turn.request.character_id
    return {**fields, **story.fields(turn)}


def _validation(turn: TurnState) -> Metadata:
    return Metadata("validation", turn.writer.view.tokens)
