"""Characters as a feature."""

from __future__ import annotations

from app.characters.api import OPERATIONS
from app.characters.history import CharacterHistory
from app.characters.service import CharacterService
from app.feature import Feature, FeatureSpec, Platform
from app.turns.service import TurnService


def wire(platform: Platform) -> Feature:
    """Needs the turns feature."""
    turns = platform.services.get(TurnService)
    service = CharacterService(platform.journey_log, platform.store, turns)
    history = CharacterHistory(platform.journey_log, platform.store, turns)
    return Feature(operations=OPERATIONS, services=(service, history))


FEATURE = FeatureSpec("characters", wire)
