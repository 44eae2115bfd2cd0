"""The one pipeline of a turn: context → policy → prompt → phase 1 → phase 2."""

from __future__ import annotations

from dataclasses import replace

from app.core.events import Metadata
from app.core.intents import normalize, texts_of
from app.core.opening import player_words
from app.core.outcome import DungeonMasterOutcome, Intents
from app.core.prompt import Scene
from app.core.record import CommitRecord
from app.core.results import Validation
from app.core.retelling import Retelling
from app.core.stages import Stage
from app.core.wire import MetadataFields
from app.core.writes import (
    WritePlan,
    dry_run_summary,
    first_marker,
    place_to_create,
    plan_writes,
    shared,
)
from app.errors import DungeonMasterError, LLMResponseError
from app.generation.request import GenerationRequest, Purpose
from app.ports.store import DeliveryProgress
from app.turns.delivery import completion
from app.turns.dependencies import Dependencies
from app.turns.endings import ending_of
from app.turns.narration import Narration
from app.turns.observe import IntentsRepaired, OutcomeParsed
from app.turns.persistence import commit, commit_intent
from app.turns.repair import intents_alone
from app.turns.scenes import Scenes
from app.turns.state import TurnState, policy_fields
from app.turns.story import Saved, Story


class TurnOrchestrator:
    """Takes a turn of a character from context to delivery."""

    def __init__(self, dependencies: Dependencies) -> None:
        self.use = dependencies
        self._scenes = Scenes(dependencies)

    async def run(self, turn: TurnState) -> None:
        """Take the turn to its end. Raises `DungeonMasterError`, `CancelledFirst`, `LostTurn`.

        Returns when the terminal event `complete` is durable and visible.
        """
        story = self.use.stories.of(turn.request)
        turn.writer.append(Metadata("start", 0, _start_fields(turn, story)))
        scene = await self._scenes.read(turn)
        turn.writer.drafts = story.drafts(scene)
        rolls = policy_fields(scene.decision)
        rolled = MetadataFields(quest=rolls["quest"], poi=rolls["poi"])
        turn.writer.append(Metadata("policy", 0, rolled))
        turn.writer.append(Metadata("narrative"))
        record = await self._generated(turn, scene, story)
        if (hold := story.hold(turn, scene)) is not None:
            await self.go_on(turn, await self.use.holding.hold(turn, record, hold), scene)
        else:
            await self._write(turn, record)

    async def go_on(
        self, turn: TurnState, record: CommitRecord, scene: Scene | None = None
    ) -> None:
        """Take a turn whose outcome awaits its commit to its end. Raises as `run` does.

        `scene`: None where another process ran the generation; it is read again for a retelling.
        """
        holding = self.use.holding
        while (choice := await holding.choice(turn, record)).kind == "retell":
            recording = turn.recording()
            turn.repair = None
            turn.advance(Stage.GENERATING)
            turn.writer.append(Metadata("retelling"))
            try:
                scene = await self._scene_again(turn, scene)
                retelling = Retelling(record.narrative, choice.guidance)
                again = replace(scene, retelling=retelling)
                fresh = await self._generated(turn, again, self.use.stories.of(turn.request))
            except DungeonMasterError as error:
                record = await holding.hold_again(turn, record, recording, error.type)
            else:
                fresh = fresh.model_copy(update={"telling": record.telling + 1})
                record = await holding.hold(turn, fresh, record.hold)
        await self._write(turn, holding.chosen(turn, record, choice))

    async def _scene_again(self, turn: TurnState, scene: Scene | None) -> Scene:
        if scene is None:
            return await self._scenes.read_again(turn)
        return await self.use.stories.of(turn.request).scene(turn, scene)  # it may have changed

    async def _generated(self, turn: TurnState, scene: Scene, story: Story) -> CommitRecord:
        """The outcome of one generation, with everything that its commit needs."""
        outcome = await self._narrate(turn, scene, story)
        moderator = story.moderator(scene)
        if self.use.generation.moderated or moderator is not None:
            await self.use.generation.judge(" | ".join(texts_of(outcome.intents)), moderator)
        return await self._record(turn, scene, outcome, story.saved(turn, scene, outcome))

    async def _write(self, turn: TurnState, record: CommitRecord) -> None:
        if turn.request.dry_run:
            await self._rehearse(turn, record)
        else:
            await self._commit(turn, record)

    # -- phase 1 ----------------------------------------------------------------------------------

    async def _narrate(self, turn: TurnState, scene: Scene, story: Story) -> DungeonMasterOutcome:
        """The outcome, validated, its narrative shown while it formed."""
        began, use = turn.clock.monotonic(), self.use
        request = GenerationRequest(
            story.prompt(scene),
            Purpose.OPENING if scene.opening else Purpose.TURN,
            turn.request.user_id,
            turn.meta,
            use.limits,
            moderator=story.moderator(scene),
        )
        narration = story.narration(turn, use.narrative_bytes, use.observe)
        try:
            await use.generation.generate(request, narration)
            outcome = narration.outcome or await self._repaired(turn, scene, narration)
            if outcome is not None and narration.has_shown(outcome):
                outcome = await story.complete(turn, scene, outcome)
        except LLMResponseError:
            self.use.observe(OutcomeParsed(turn, valid=False))
            raise
        finally:
            turn.spent("llm_ms", began)
        return self._validated(turn, narration, outcome)

    async def _repaired(
        self, turn: TurnState, scene: Scene, narration: Narration
    ) -> DungeonMasterOutcome | None:
        """The outcome with the narrative that was shown; None where that was not whole."""
        if not narration.prose:
            return None
        use = self.use
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
        valid = outcome is not None and narration.has_shown(outcome)
        turn.spent("validation_ms", began)
        self.use.observe(OutcomeParsed(turn, valid=valid))
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
        turn.plan = _planned(turn, scene, intents, saved)
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
            **turn.spent_fields(),
            extras=saved.extras,
            lines=saved.lines,
            validation=Validation(
                schema_valid=turn.repair is None,
                intents_normalized=intents != outcome.intents,
                roll_conflicts=saved.roll_conflicts,
            ),
        )

    async def _knows(self, character_id: str, place: str | None) -> bool:
        return place is not None and await self.use.store.knows_place(character_id, place)

    async def _rehearse(self, turn: TurnState, record: CommitRecord) -> None:
        complete = completion(turn, record, dry_run_summary(record.plan))
        ending = ending_of(turn, "complete", complete, *_validated(turn, record))
        ending = replace(ending, recording=turn.recording())
        await commit(lambda: self.use.store.finish(turn.claim, ending))
        turn.writer.publish(ending.entries)

    async def _commit(self, turn: TurnState, record: CommitRecord) -> None:
        writes = Metadata("writes", turn.writer.view.tokens)
        entries = turn.writer.draft(*_validated(turn, record), writes)
        store = self.use.store
        await commit_intent(
            turn, lambda: store.validate(turn.claim, record, entries, turn.recording())
        )
        turn.advance(Stage.WRITING)
        turn.writer.publish(entries)
        sent_at = turn.clock.now()
        await self.use.deliverer.deliver(turn, record, DeliveryProgress(0, 1, sent_at, sent_at))


def _planned(turn: TurnState, scene: Scene, intents: Intents, saved: Saved) -> WritePlan:
    plan = plan_writes(
        user_action=turn.request.user_action,
        narrative=saved.text,
        intents=intents,
        decision=scene.decision,
        context=scene.context,
        known_place=turn.known_place,
        marker=turn.marker,
        turn_id=turn.turn_id,
    )
    if not saved.journeys:
        return plan
    own = turn.request.user_id, turn.request.character_id
    return shared(plan, saved.journeys, own, saved.text, turn.marker)


def _start_fields(turn: TurnState, story: Story) -> MetadataFields:
    fields = turn.start_fields()
    fields["user_action"] = player_words(turn.request.user_action) or None
    if turn.request.character_id:
        fields["character_id"] = turn.request.character_id
    return {**fields, **story.fields(turn)}


def _validated(turn: TurnState, record: CommitRecord) -> tuple[Metadata, ...]:
    """The validation's event; empty for an outcome that awaited its commit, whose validation was
    shown then."""
    return () if record.until else (_validation(turn),)


def _validation(turn: TurnState) -> Metadata:
    return Metadata("validation", turn.writer.view.tokens)
