"""Characters: made in journey-log, opened by a turn of their own, shown with our progress record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from app.characters.schemas import (
    ActiveTurn,
    CharacterRow,
    Characters,
    CharacterSheet,
    ContextView,
    EndedQuest,
    QuestStep,
    QuestWithProgress,
    Rewards,
    Whereabouts,
)
from app.core.context import CharacterProgress, Context, Quest, story_has_begun
from app.core.encoding import dump
from app.core.events import stamp
from app.core.intents import current_location
from app.core.opening import DEFAULT_ADVENTURE, player_words
from app.core.quests import PastQuest, QuestRewards, steps_done
from app.core.writes import MAX_ACTION
from app.errors import CharacterExists, DungeonMasterError, StoryHasBegun
from app.ports.call import CallMeta
from app.ports.history import TurnJournal
from app.ports.journey_log import JourneyLog
from app.ports.store import TurnRequest, TurnStatus
from app.ports.turn import character_key
from app.turns.open_turn import OpenTurn
from app.turns.service import TurnService


class CharacterService:
    def __init__(self, journey_log: JourneyLog, store: TurnJournal, turns: TurnService) -> None:
        self._journey_log = journey_log
        self._store = store
        self._turns = turns

    async def create(
        self, *, name: str, race: str, class_name: str, opening: TurnRequest
    ) -> OpenTurn:
        """Make the character and start its opening turn, whose action is the adventure wished for.

        A character whose opening never succeeded is not made again, but gets its opening.
        Refused before there is a character: for limits, budget and shutdown; with the key of an
        opening that runs or succeeded, that one is read again. Raises `CharacterExists` beside what
        a turn raises. An error that concerns a character carries its `character_id`.
        """
        wished = {"name": name, "race": race, "class": class_name}
        found: list[str] = []

        async def make(request: TurnRequest) -> TurnRequest:
            ready = await self._made_or_unopened(request, wished)
            found.append(ready.character_id)
            return ready

        try:
            return await self._turns.start(replace(opening, about=dump(wished)), make)
        except DungeonMasterError as error:
            if found:
                error.extra["character_id"] = found[0]
            raise

    async def open(self, opening: TurnRequest) -> OpenTurn:
        """Start the opening of a character that has none yet.

        Without a wish it is about what was wished for when the character was made. Raises
        `StoryHasBegun` beside what a turn raises.
        """
        return await self._turns.start(opening, self._unopened)

    async def _made_or_unopened(self, request: TurnRequest, wished: dict[str, str]) -> TurnRequest:
        fields = {**wished, "adventure_prompt": request.user_action or DEFAULT_ADVENTURE}
        try:
            made = await self._journey_log.create_character(request.user_id, fields, _meta(request))
        except CharacterExists:
            twin = await self._twin(request, wished)
            if twin is None:
                raise
        else:
            return replace(request, character_id=made)
        try:
            return await self._unopened(replace(request, character_id=twin))
        except StoryHasBegun as error:
            raise CharacterExists(extra=error.extra) from None

    async def _twin(self, request: TurnRequest, wished: dict[str, str]) -> str | None:
        """The character that is the same to journey-log, which collapses white space."""
        same = {name: " ".join(value.split()) for name, value in wished.items()}
        for row in await self._journey_log.characters(request.user_id, _meta(request)):
            if same.items() <= row.items():
                return str(row["character_id"])
        return None

    async def _unopened(self, request: TurnRequest) -> TurnRequest:
        """The opening of a character that exists. Raises `StoryHasBegun`."""
        which = (request.user_id, request.character_id, _meta(request))
        context = await self._journey_log.context(*which)
        if story_has_begun(context, await self._store.progress(request.character_id)):
            raise StoryHasBegun(extra={"character_id": request.character_id})
        if request.user_action:
            return request
        wish = player_words(await self._journey_log.adventure_prompt(*which))
        return replace(request, user_action=wish[:MAX_ACTION])

    async def listed(self, user_id: str, meta: CallMeta) -> Characters:
        """The user's characters, the most recently played first."""
        rows = await self._journey_log.characters(user_id, meta)
        return Characters(characters=cast(list[CharacterRow], rows), count=len(rows))

    async def one(self, user_id: str, character_id: str, meta: CallMeta) -> CharacterSheet:
        """The character with its context, as the next turn would see it."""
        context = await self._journey_log.context(user_id, character_id, meta)
        progress = await self._store.progress(character_id)
        open_turns = await self._store.open_turns(user_id, character_id)
        cost = await self._store.cost_of(character_key(character_id, user_id))
        return _shown(context, progress, cost, _active(open_turns))


def _meta(request: TurnRequest) -> CallMeta:
    return CallMeta(request.request_id, request.traceparent)


def _active(open_turns: Sequence[tuple[str, TurnStatus]]) -> ActiveTurn | None:
    if not open_turns:
        return None
    turn_id, status = open_turns[0]
    return ActiveTurn(turn_id=turn_id, status="queued" if status == "queued" else "running")


def _shown(
    context: Context, progress: CharacterProgress, cost: int, active: ActiveTurn | None
) -> CharacterSheet:
    player, location = context.player_state, current_location(context, progress)
    return {
        "character_id": context.character_id,
        "name": player.identity.name,
        "race": player.identity.race,
        "class": player.identity.class_name,
        "status": player.status,
        "turns": progress.turns,
        "cost_micros": cost,
        "active_turn": active,
        "context": ContextView(
            status=player.status,
            location=Whereabouts(
                id=location.id,
                display_name=location.display_name,
                minor_location=progress.minor_location,
            ),
            equipment=player.equipment,
            inventory=player.inventory,
            quest=_quest(context.quest, progress),
            combat=context.combat,
            narrative=context.narrative,
            world=context.world,
            past_quests=[_ended(past) for past in reversed(progress.past_quests)],
            earned=_rewards(progress.earned),
        ),
    }


def _quest(quest: Quest | None, progress: CharacterProgress) -> QuestWithProgress | None:
    if quest is None:
        return None
    done = steps_done(quest.requirements, progress.quest_progress)
    return QuestWithProgress(
        name=quest.name,
        description=quest.description,
        requirements=quest.requirements,
        completion_state=quest.completion_state,
        updated_at=quest.updated_at,
        steps=[
            QuestStep(text=text, done=done)
            for text, done in zip(quest.requirements, done, strict=True)
        ],
        rewards=_rewards(quest.rewards),
        progress=progress.quest_progress,
    )


def _ended(past: PastQuest) -> EndedQuest:
    return EndedQuest(
        name=past.name,
        requirements=past.requirements,
        rewards=_rewards(past.rewards),
        outcome=past.outcome,
        ended_at=stamp(past.ended_at),
    )


def _rewards(rewards: QuestRewards) -> Rewards:
    return Rewards(items=rewards.items, currency=rewards.currency, experience=rewards.experience)
