"""AI assistants as a feature."""

from __future__ import annotations

from app.assistants.api import OPERATIONS
from app.assistants.routes import Assistants
from app.assistants.tools import Tools
from app.characters.service import CharacterService
from app.feature import Feature, FeatureSpec, Platform
from app.turns.questions import TurnQuestions
from app.turns.service import TurnService


def wire(platform: Platform) -> Feature:
    """Needs the features turns and characters."""
    turns = platform.services.get(TurnService)
    characters = platform.services.get(CharacterService)
    questions = platform.services.get(TurnQuestions)
    tools = Tools(turns, characters, questions, platform.store)
    kept = platform.settings.turn_events_ttl_seconds
    readers, clock = platform.readers, platform.clock
    assistants = Assistants(lambda kind: kind(tools, turns, readers, clock, kept))
    return Feature(operations=OPERATIONS, services=(assistants,), background=(assistants.run,))


FEATURE = FeatureSpec("assistants", wire)
