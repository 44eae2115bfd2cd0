"""Building the scene of a turn: the character's context, and what policy grants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.core.context import Context, Place, story_has_begun
from app.core.events import Metadata
from app.core.policy import NOTHING_GRANTED, PolicyConfig
from app.core.prompt import Scene
from app.core.references import Reference
from app.core.stages import Stage
from app.errors import DungeonMasterError, StoryHasBegun
from app.turns.dependencies import Dependencies
from app.turns.observe import PolicyDecided
from app.turns.state import TurnState

SPARK_PATIENCE = 0.25  # seconds after the context is there


class Scenes:
    """Reads them."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._use = dependencies

    async def read(self, turn: TurnState) -> Scene:
        """Context, then policy. Raises `DungeonMasterError`."""
        story = self._use.stories.of(turn.request)
        began, config = turn.clock.monotonic(), self._use.policy_config()
        bare = story.context(turn)
        context, sparks = (bare, []) if bare is not None else await self._of_character(turn, config)
        turn.spent("context_ms", began)
        opening = turn.request.kind == "opening"
        if opening and story_has_begun(context, turn.progress):
            raise StoryHasBegun(extra={"character_id": turn.request.character_id})
        turn.context, turn.sparks = context, sparks
        references = await self._use.references(turn.request)
        await turn.wait_durable()
        turn.writer.append(_context(turn, references))
        turn.advance(Stage.GENERATING)
        decision = (
            self._use.policy.decide(config, context, turn.progress, sparks, turn.clock.now())
            if context.character_id
            else NOTHING_GRANTED
        )
        turn.decision = decision
        self._use.observe(PolicyDecided(turn, decision))
        action = turn.request.user_action
        scene = Scene(
            context, turn.progress, decision, sparks, action, opening, references=references
        )
        return await story.scene(turn, scene)

    async def read_again(self, turn: TurnState) -> Scene:
        """Read the scene again as another process had it: policy is not rolled again."""
        story = self._use.stories.of(turn.request)
        request, decision = turn.request, turn.decision or NOTHING_GRANTED
        context = story.context(turn) or await self._read_again(turn)
        turn.context, opening = context, request.kind == "opening"
        scene = Scene(
            context,
            turn.progress,
            decision,
            turn.sparks,
            request.user_action,
            opening,
            references=await self._use.references(request),
        )
        return await story.scene(turn, scene)

    async def _of_character(
        self, turn: TurnState, config: PolicyConfig
    ) -> tuple[Context, list[Place]]:
        try:
            return await self._gather(turn, config)
        except DungeonMasterError as error:
            return await self._spared(turn, error), []

    async def _read_again(self, turn: TurnState) -> Context:
        request = turn.request
        try:
            return await self._use.journey_log.context(
                request.user_id, request.character_id, turn.meta
            )
        except DungeonMasterError as error:
            return await self._spared(turn, error)

    async def _spared(self, turn: TurnState, error: DungeonMasterError) -> Context:
        """What the turn goes on with instead. Raises the error where it does not."""
        spare = await self._use.stories.of(turn.request).spare_context(turn, error)
        if spare is None:
            raise error
        return spare

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


def _context(turn: TurnState, references: Sequence[Reference]) -> Metadata:
    """Says which of the content that the turn refers to is in its prompt."""
    if not turn.request.references:
        return Metadata("context")
    return Metadata("context", 0, {"references": [one.content_id for one in references]})
