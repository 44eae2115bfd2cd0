"""Characters as a feature."""

from __future__ import annotations

from app.characters.api import OPERATIONS
from app.characters.arrivals import Arrivals
from app.characters.feed import CharacterFeeds
from app.characters.history import CharacterHistory
from app.characters.service import CharacterService
from app.feature import Feature, FeatureSpec, Platform
from app.turns.service import TurnService
from app.web.transports.feed import FeedTransport


def wire(platform: Platform) -> Feature:
    """Needs the turns feature."""
    turns = platform.services.get(TurnService)
    service = CharacterService(platform.journey_log, platform.store, turns)
    history = CharacterHistory(platform.journey_log, platform.store, turns)
    arrivals = Arrivals()
    platform.signals.receive(arrivals.signalled)
    feeds = CharacterFeeds(platform.journey_log, platform.store, turns, arrivals)
    return Feature(
        operations=OPERATIONS,
        services=(service, history, feeds, FeedTransport(platform.readers)),
        observers=(arrivals.observe,),
    )


FEATURE = FeatureSpec("characters", wire)
