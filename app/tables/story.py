"""The story of a table's turn: its prompt and its answer differ from those of a character's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

import structlog

from app.core.context import Context, Identity, PlayerState
from app.core.messages import Prompt
from app.core.outcome import DungeonMasterOutcome
from app.core.prompt import Scene
from app.core.record import Hold
from app.core.roll_conflicts import intent_conflicts, roll_conflicts
from app.core.table_outcome import (
    SceneMetadata,
    Supplement,
    TableOutcome,
    enough,
    read_rolled_intents,
    read_supplement,
)
from app.core.table_prompt import (
    BEHIND,
    ROLL_WINDOW,
    WINDOW,
    Occurrence,
    TableScene,
    rolled_intents_prompt,
    supplement_prompt,
    table_prompt,
)
from app.core.tables import ANSWERS, DEFAULT_DM, NPCS, X_CARD, NewLine, Table
from app.core.wire import DeedView, MetadataFields
from app.core.writes import Journey
from app.errors import CharacterNotFound, DungeonMasterError, Forbidden, LLMResponseError
from app.generation.request import GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.journey_log import JourneyLog
from app.ports.moderation import Moderator
from app.ports.tables import TableStore
from app.tables.budget import TableBudget
from app.tables.history import newest_lines, spoken, x_card_of
from app.tables.narration import TableNarration, show_options, show_scene
from app.tables.topics import TableTopics
from app.turns.narration import Narration
from app.turns.observe import TokensStreamed
from app.turns.repair import HiddenAnswer
from app.turns.state import TurnState
from app.turns.story import Saved, Story

log = structlog.get_logger(__name__)

SUPPLEMENT_SECONDS: Final = 15.0
SUPPLEMENT_TOKENS: Final = 1_000


class TableStory(Story):
    def __init__(
        self,
        tables: TableStore,
        generation: GenerationService,
        topics: TableTopics,
        budget: TableBudget,
        journey_log: JourneyLog,
    ) -> None:
        self._tables = tables
        self._journey_log = journey_log
        self._budget = budget
        self._topics = topics
        self._generation = generation

    def fields(self, turn: TurnState) -> MetadataFields:
        occurrence = _occurrence(turn)
        fields = MetadataFields(player_name=occurrence.player_name, occasion=occurrence.occasion)
        if occurrence.occasion == "round":
            fields["round"] = occurrence.round
            fields["deeds"] = [
                DeedView(player_name=one.player_name, user_action=one.action, played=one.played)
                for one in occurrence.deeds
            ]
        return fields

    def context(self, turn: TurnState) -> Context | None:
        return None if turn.request.character_id else _bare(turn)

    async def spare_context(self, turn: TurnState, error: DungeonMasterError) -> Context | None:
        """A round is played for the others, too: the character's own part of the journey is then written,
        or refused, as that of each of them. While journey-log answers for none of them, it is down."""
        occurrence, own = _occurrence(turn), (turn.request.user_id, turn.request.character_id)
        if len(occurrence.deeds) < 2:
            return None
        if not isinstance(error, CharacterNotFound | Forbidden):
            others = [one.whose for one in _journeys(occurrence) if one.whose != own]
            reads = [self._journey_log.context(*whose, turn.meta) for whose in others]
            found = await asyncio.gather(*reads, return_exceptions=True)
            if not any(isinstance(one, Context | CharacterNotFound | Forbidden) for one in found):
                return None
        log.warning("round_without_its_character", error_type=error.type)
        return _bare(turn)

    async def scene(self, turn: TurnState, scene: Scene) -> Scene:
        occurrence, number = _occurrence(turn), int(turn.request.resource_owner.id)
        table = await self._tables.find(number)
        if table is not None:
            await self._budget.check(table)  # it has waited while others used the rest
        window = ROLL_WINDOW if occurrence.occasion == "roll" else WINDOW
        summary = await self._tables.summary(number)
        said = await newest_lines(self._tables, number, window + BEHIND)
        fresh = spoken([line for line in said if line.id > summary.upto]) if summary.upto else ()
        shown = max(window, min(len(fresh), WINDOW + BEHIND) if window == WINDOW else 0)
        seats = await self._tables.seats(number)
        own = _of_table(table) | {
            "occurrence": occurrence,
            "players": [seat.player_name for seat in seats if seat.role == "player"],
            "said": spoken(said)[-shown:],
            "summary": summary.text,
            "x_card": x_card_of(said),
        }
        shared = {one.name: getattr(scene, one.name) for one in fields(Scene)}
        return TableScene(**shared | own | {"opening": occurrence.occasion == "start"})

    def prompt(self, scene: Scene) -> Prompt:
        assert isinstance(scene, TableScene)
        return table_prompt(scene)

    def moderator(self, scene: Scene) -> Moderator | None:
        """A moderator for the words of the scene's lines and veils; None where it has none."""
        assert isinstance(scene, TableScene)
        return self._topics.moderator(*scene.lines, *scene.veils)

    def narration(
        self, turn: TurnState, narrative_bytes: int, observe: Callable[[TokensStreamed], None]
    ) -> Narration:
        return TableNarration(turn, narrative_bytes, observe)

    async def complete(
        self, turn: TurnState, scene: Scene, outcome: DungeonMasterOutcome
    ) -> DungeonMasterOutcome:
        """Supply options and scene where they are missing, and intents that contradict no roll, by one
        small generation each; where that fails, the first stay away, the second stay as they are. What the
        model has written itself is shown before: it waits for neither."""
        assert isinstance(outcome, TableOutcome)
        assert isinstance(scene, TableScene)
        options = outcome.player_options if enough(outcome.player_options) else ()
        metadata = outcome.scene
        await self._judge(scene, options, metadata)
        if options:
            _show(turn, options, metadata)
        outcome = await self._by_the_rolls(turn, scene, outcome)
        if not options or metadata is None:
            more = await self._supplement(turn, scene, outcome.story_text)
            options = options or (more.player_options if enough(more.player_options) else ())
            metadata = metadata or more.scene
            _show(turn, options, metadata)
        return outcome.model_copy(update={"player_options": options, "scene": metadata})

    async def _judge(
        self, scene: TableScene, options: tuple[str, ...], metadata: SceneMetadata | None
    ) -> None:
        """Raises `LLMResponseError` where players may not read them."""
        judged = " | ".join(_texts(options, metadata))
        await self._generation.judge(judged, self.moderator(scene))

    async def _supplement(self, turn: TurnState, scene: TableScene, story: str) -> Supplement:
        """Options and scene; empty where players may not read them: what they have read is kept."""
        more = read_supplement(await self._asked(turn, supplement_prompt(scene, story)))
        try:
            await self._judge(scene, more.player_options, more.scene)
        except LLMResponseError as error:
            log.warning("table_supplement_failed", error_type=error.type)
            return Supplement()
        return more

    async def _by_the_rolls(
        self, turn: TurnState, scene: TableScene, outcome: TableOutcome
    ) -> TableOutcome:
        """The outcome with intents that agree with the rolls, as far as the model gives any."""
        if not intent_conflicts(outcome, scene.rolls):
            return outcome
        answer = await self._asked(turn, rolled_intents_prompt(scene, outcome.story_text))
        again = read_rolled_intents(answer)
        if again is None:
            return outcome
        results = again.roll_results or outcome.roll_results
        return outcome.model_copy(update={"intents": again.intents, "roll_results": results})

    async def _asked(self, turn: TurnState, prompt: Prompt) -> str:
        """A small generation behind the last token; empty where it fails or takes too long, its wait for
        a free model included."""
        limits = replace(
            self._generation.limits,
            max_retries=0,
            max_output_tokens=SUPPLEMENT_TOKENS,
        )
        user_id = turn.request.user_id
        asked = GenerationRequest(prompt, Purpose.REPAIR, user_id, turn.meta, limits)
        try:
            async with asyncio.timeout(SUPPLEMENT_SECONDS):
                return (await self._generation.generate(asked, HiddenAnswer(turn))).text
        except (DungeonMasterError, TimeoutError) as error:
            log.warning("table_supplement_failed", error_type=type(error).__name__)
            return ""

    def drafts(self, scene: Scene) -> bool:
        assert isinstance(scene, TableScene)
        return scene.approval_seconds > 0

    def hold(self, turn: TurnState, scene: Scene) -> Hold | None:
        assert isinstance(scene, TableScene)
        if not turn.writer.drafts:
            return super().hold(turn, scene)
        return Hold(reason="approval", seconds=scene.approval_seconds)

    def saved(self, turn: TurnState, scene: Scene, outcome: DungeonMasterOutcome) -> Saved:
        assert isinstance(outcome, TableOutcome)
        assert isinstance(scene, TableScene)
        occurrence = _occurrence(turn)
        answers = [[one.player_name, one.action] for one in occurrence.deeds]
        answers = answers or [[occurrence.player_name, turn.request.user_action]]
        data: dict[str, Any] = {ANSWERS: answers}
        if outcome.scene is not None and outcome.scene.scene_elements.npcs_present:
            data[NPCS] = outcome.scene.scene_elements.npcs_present
        if scene.x_card:
            data[X_CARD] = scene.x_card
        line = NewLine(scene.dm_name, outcome.story_text, "dm", turn_id=turn.turn_id, data=data)
        extras = _extras(outcome) if turn.writer.drafts else dict(turn.writer.view.extras)
        conflicts = tuple(roll_conflicts(outcome, occurrence.rolls))
        journeys = _journeys(occurrence, scene.dm_name)
        return Saved(outcome.story_text, extras, (line,), journeys, conflicts)


def _show(turn: TurnState, options: tuple[str, ...], metadata: SceneMetadata | None) -> None:
    show_options(turn, options)
    show_scene(turn, metadata)


def _extras(outcome: TableOutcome) -> dict[str, Any]:
    """The fields of a draft beside its narrative. Only the answer among them was shown."""
    found: dict[str, Any] = {}
    if outcome.player_response:
        found["player_response"] = outcome.player_response
    if enough(outcome.player_options):
        found["player_options"] = list(outcome.player_options)
    if outcome.scene is not None:
        found["scene"] = {**outcome.scene.shown, "dm_notes": outcome.scene.dm_notes}
    return found


def _journeys(occurrence: Occurrence, dm_name: str = DEFAULT_DM) -> tuple[Journey, ...]:
    """Of the characters of a round. Each player is told by themselves where theirs is not written."""
    words = (
        f"What happened in round {occurrence.round} could not be added to your character's journey"
    )
    return tuple(
        Journey(
            deed.user_id,
            deed.character_id,
            deed.action,
            NewLine(dm_name, words, "system", recipient=deed.user_id),
        )
        for deed in occurrence.deeds
        if deed.character_id
    )


def _bare(turn: TurnState) -> Context:
    """The context of a turn that is of no character."""
    name = _occurrence(turn).player_name
    return Context(character_id="", player_state=PlayerState(identity=Identity(name=name)))


def _occurrence(turn: TurnState) -> Occurrence:
    return Occurrence.model_validate_json(turn.request.about)


def _of_table(table: Table | None) -> dict[str, Any]:
    """The table's fields for the scene; defaults where the table was deleted meanwhile."""
    if table is None:
        return {"table": "", "dm_name": DEFAULT_DM}
    rules = table.rules
    names = {"table": table.name, "dm_name": table.dm_name}
    topics = {"lines": rules.lines, "veils": rules.veils}
    return {**names, **topics, "approval_seconds": rules.approval_seconds}


def _texts(options: tuple[str, ...], scene: SceneMetadata | None) -> list[str]:
    if scene is None:
        return list(options)
    elements = scene.scene_elements
    texts = [scene.environmental_conditions, scene.immediate_threats, scene.story_progression]
    texts += [elements.current_location, scene.dm_notes]
    names = [*elements.npcs_present, *elements.objects_of_interest]
    return [*options, *(text for text in texts if text), *names]
