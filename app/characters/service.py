"""Characters: made in journey-log, opened by a turn of their own, shown with our progress record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.core.context import CharacterProgress, Context
from app.core.encoding import dump
from app.core.intents import current_location
from app.errors import DungeonMasterError
from app.ports.call import CallMeta
from app.ports.journey_log import JourneyLog
from app.ports.store import TurnRequest, TurnStore
from app.turns.service import OpenTurn, TurnService

DEFAULT_ADVENTURE = (
    "Begin a classic fantasy adventure: a quiet place with a secret, someone who needs help, "
    "and a road that leads away from safety."
)


class CharacterService:
    def __init__(self, journey_log: JourneyLog, store: TurnStore, turns: TurnService) -> None:
        self._journey_log = journey_log
        self._store = store
        self._turns = turns

    async def create(
        self, *, name: str, race: str, class_name: str, opening: TurnRequest
    ) -> OpenTurn:
        """Make the character and start its opening turn, whose action is the adventure prompt.

        Refused before there is a character: for limits, budget and shutdown; with the key of an
        earlier call its opening is told again. Raises `CharacterExists` beside what a turn raises.
        An error after the character was made carries its `character_id`: the character stays.
        """
        wished = {"name": name, "race": race, "class": class_name}
        fields = {**wished, "adventure_prompt": opening.user_action}
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

    async def listed(self, user_id: str, meta: CallMeta) -> list[dict[str, Any]]:
        return await self._journey_log.characters(user_id, meta)

    async def one(self, user_id: str, character_id: str, meta: CallMeta) -> dict[str, Any]:
        """The character with its context, as the next turn would see it."""
        context = await self._journey_log.context(user_id, character_id, meta)
        return _shown(context, await self._store.progress(character_id))


def _shown(context: Context, progress: CharacterProgress) -> dict[str, Any]:
    player = context.player_state
    quest = context.quest
    return {
        "character_id": context.character_id,
        "name": player.identity.name,
        "race": player.identity.race,
        "class": player.identity.class_name,
        "status": player.status,
        "turns": progress.turns,
        "context": {
            "status": player.status,
            "location": {
                **current_location(context, progress).model_dump(),
                "minor_location": progress.minor_location,
            },
            "equipment": player.equipment,
            "inventory": player.inventory,
            "quest": None
            if quest is None
            else {**quest.model_dump(), "progress": progress.quest_progress},
            "combat": context.combat.model_dump(),
            "narrative": context.narrative.model_dump(),
            "world": context.world.model_dump(),
        },
    }
