"""Normalisation: what a valid outcome means once policy and journey-log's limits are applied."""

from __future__ import annotations

from collections.abc import Iterator

from app.core.context import CharacterProgress, Context, Location, Place
from app.core.outcome import (
    CombatIntent,
    Enemy,
    Intents,
    LocationIntent,
    PoiIntent,
    QuestDetails,
    QuestIntent,
)
from app.core.policy import PolicyDecision
from app.core.text import filled

MAX_POI_NAME = 200
MAX_POI_DESCRIPTION = 2000
MAX_POI_TAGS = 20
MAX_POI_TAG = 50
MAX_ENEMIES = 5
MAX_QUEST_TITLE = 200
MAX_QUEST_SUMMARY = 2000
MAX_LINE = 200
MAX_REQUIREMENTS = 20

DEFAULT_QUEST_TITLE = "A New Opportunity"
DEFAULT_QUEST_SUMMARY = "A new quest opportunity has presented itself."
DEFAULT_POI_NAME = "A Notable Location"
DEFAULT_POI_DESCRIPTION = "An interesting location worth remembering."
DEFAULT_ENEMY_NAME = "An unknown foe"


def current_location(context: Context, progress: CharacterProgress) -> Location:
    """Location of the character: our record of the move, else that of journey-log."""
    return progress.location or context.player_state.location


def normalize(
    intents: Intents, decision: PolicyDecision, context: Context, progress: CharacterProgress
) -> Intents:
    """Fill what is missing, cut what is too long, and add what policy granted but the model left out.

    An intent the model set to null is triggered when its roll passed; an explicit `none` is kept.
    """
    return intents.model_copy(
        update={
            "quest_intent": _quest(intents.quest_intent, decision),
            "combat_intent": _combat(intents.combat_intent),
            "poi_intent": _poi(intents.poi_intent, decision, context, progress),
            "location_intent": _location(intents.location_intent),
        }
    )


def _quest(intent: QuestIntent | None, decision: PolicyDecision) -> QuestIntent | None:
    if intent is None or intent.action is None:
        if not decision.quest.passed:
            return intent
        intent = QuestIntent(action="offer")
    if intent.action not in ("offer", "start"):
        return intent
    details = intent.quest_details or QuestDetails()
    return intent.model_copy(
        update={
            "action": "offer",
            "quest_title": filled(intent.quest_title, DEFAULT_QUEST_TITLE, MAX_QUEST_TITLE),
            "quest_summary": filled(intent.quest_summary, DEFAULT_QUEST_SUMMARY, MAX_QUEST_SUMMARY),
            "quest_details": _with_reference(details, decision.reference),
        }
    )


def _with_reference(details: QuestDetails, place: Place | None) -> QuestDetails:
    """Let the quest lead to the remembered place that policy picked, unless it does already."""
    requirements = [line[:MAX_LINE] for line in details.requirements[:MAX_REQUIREMENTS]]
    if place and not any(place.name.casefold() in line.casefold() for line in requirements):
        requirements = [*requirements[: MAX_REQUIREMENTS - 1], f"Return to {place.name}"[:MAX_LINE]]
    return details.model_copy(update={"requirements": requirements})


def _combat(intent: CombatIntent | None) -> CombatIntent | None:
    if intent is None or not intent.enemies:
        return intent
    enemies = [_enemy(enemy) for enemy in intent.enemies[:MAX_ENEMIES]]
    return intent.model_copy(update={"enemies": enemies})


def _enemy(enemy: Enemy) -> Enemy:
    return enemy.model_copy(update={"name": filled(enemy.name, DEFAULT_ENEMY_NAME, MAX_LINE)})


def _poi(
    intent: PoiIntent | None,
    decision: PolicyDecision,
    context: Context,
    progress: CharacterProgress,
) -> PoiIntent | None:
    if intent is None or intent.action is None:
        if not decision.poi.passed:
            return intent
        intent = PoiIntent(action="create")
    if intent.action != "create":
        return intent
    here = current_location(context, progress).label.strip() or DEFAULT_POI_NAME
    return intent.model_copy(
        update={
            "name": filled(intent.name, here, MAX_POI_NAME),
            "description": filled(intent.description, DEFAULT_POI_DESCRIPTION, MAX_POI_DESCRIPTION),
            "reference_tags": _tags(intent.reference_tags),
        }
    )


def _tags(tags: list[str] | None) -> list[str]:
    cut = (tag.strip()[:MAX_POI_TAG].strip() for tag in tags or [])
    return list(dict.fromkeys(tag for tag in cut if tag))[:MAX_POI_TAGS]


def _location(intent: LocationIntent | None) -> LocationIntent | None:
    if intent is None:
        return None
    short = {
        name: filled(getattr(intent, name), "", MAX_LINE) or None
        for name in ("location_id", "location_display_name", "minor_location")
    }
    return intent.model_copy(update=short)


def texts_of(intents: Intents) -> Iterator[str]:
    """Everything in them that a model has worded."""
    return _texts(intents.model_dump())


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
