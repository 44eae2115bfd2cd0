"""Characters: made in journey-log, opened by a turn of their own, shown with our progress record."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from app.characters.schemas import (
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
from app.core.context import CharacterProgress, Context, Quest
from app.core.encoding import dump
from app.core.events import stamp
from app.core.intents import current_location
from app.core.opening import DEFAULT_ADVENTURE
from app.core.quests import PastQuest, QuestRewards, steps_done
from app.errors import DungeonMasterError
from app.ports.call import CallMeta
from app.ports.journey_log import JourneyLog
from app.ports.store import TurnRequest, TurnStore
from app.turns.service import OpenTurn, TurnService


class CharacterService:
    def __init__(self, journey_log: JourneyLog, store: TurnStore, turns: TurnService) -> None:
        self._journey_log = journey_log
        self._store = store
        self._turns = turns

    async def create(
        self, *, name: str, race: str, class_name: str, opening: TurnRequest
    ) -> OpenTurn:
        """Make the character and start its opening turn, whose action is the adventure wished for.

        Refused before there is a character: for limits, budget and shutdown; with the key of an
        earlier call its opening is told again. Raises `CharacterExists` beside what a turn raises.
        An error after the character was made carries its `character_id`: the character stays.
        """
        wished = {"name": name, "race": race, "class": class_name}
        fields = {**wished, "adventure_prompt": opening.user_action or DEFAULT_ADVENTURE}
        meta = CallMeta(opening.request_id, opening.traceparent)
        made: list[str] = []

        async def make(request: TurnRequest) -> TurnRequest:
            made.append(await self._journey_log.create_character(request.user_id, fields, meta))
            return replace(request, character_id=made[0])

        try:
            return await self._turns.start(replace(opening, about=dump(wished)), make)
        except DungeonMasterError as error:
            if made:
                error.extra["character_id"] = made[0]
            raise

    async def listed(self, user_id: str, meta: CallMeta) -> Characters:
        """The user's characters, the most recently played first."""
        rows = await self._journey_log.characters(user_id, meta)
        return Characters(characters=cast(list[CharacterRow], rows), count=len(rows))

    async def one(self, user_id: str, character_id: str, meta: CallMeta) -> CharacterSheet:
        """The character with its context, as the next turn would see it."""
        context = await self._journey_log.context(user_id, character_id, meta)
        return _shown(context, await self._store.progress(character_id))


def _shown(context: Context, progress: CharacterProgress) -> CharacterSheet:
    player, location = context.player_state, current_location(context, progress)
    return {
        "character_id": context.character_id,
        "name": player.identity.name,
        "race": player.identity.race,
        "class": player.identity.class_name,
        "status": player.status,
        "turns": progress.turns,
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
