"""Quests and combats in journey-log's shape."""

from __future__ import annotations

import uuid
from typing import Any

from app.core.context import Combat, parse_time
from app.core.fight import after_exchange
from app.core.intents import MAX_LINE
from app.core.outcome import Enemy, QuestDetails, QuestIntent
from app.core.storable import MAX_QUEST_BYTES, amounts, storable, storable_count


def quest_body(intent: QuestIntent, stamp: str) -> dict[str, Any]:
    details = intent.quest_details or QuestDetails()
    rewards = details.rewards
    currency = amounts(((row.name, row.amount) for row in rewards.currency), MAX_LINE)
    experience = None if rewards.experience is None else storable_count(rewards.experience)
    body = {
        "name": intent.quest_title,
        "description": intent.quest_summary,
        "requirements": details.requirements,
        "rewards": {
            "items": [item[:MAX_LINE] for item in rewards.items],
            "currency": currency,
            "experience": experience,
        },
        "completion_state": "not_started",
        "updated_at": stamp,
    }
    return storable(body, MAX_QUEST_BYTES)


def next_turn(combat: Combat, named: list[Enemy], stamp: str) -> dict[str, Any] | None:
    """The fight after a turn; None once every enemy is down, which journey-log shows as no fight.

    `stamp` takes the place of a start that is no time, which journey-log stores and cannot read.
    """
    enemies = after_exchange(combat.enemies, named)
    if enemies and all(enemy.status == "Dead" for enemy in enemies):
        return None
    started_at = combat.started_at if parse_time(combat.started_at) else stamp
    changes = {"enemies": enemies, "turn": combat.turn + 1, "started_at": started_at}
    return combat.model_copy(update=changes).model_dump()


def new_combat(turn_id: str, enemies: list[Enemy], stamp: str) -> dict[str, Any]:
    def named(what: str) -> str:
        # Derived, not drawn: the same turn always plans the same bytes.
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dungeon-master:{turn_id}:{what}"))

    return {
        "combat_id": named("combat"),
        "started_at": stamp,
        "turn": 1,
        "enemies": [
            {
                "enemy_id": named(f"enemy:{number}"),
                "name": enemy.name,
                "status": "Healthy",
                "weapon": None,
                "traits": [],
                "metadata": {"description": enemy.description, "threat": enemy.threat},
            }
            for number, enemy in enumerate(enemies)
        ],
        "player_conditions": None,
    }
