"""Other people's front ends as a feature."""

from __future__ import annotations

from app.feature import Feature, FeatureSpec, Platform
from app.frontends.api import OPERATIONS
from app.frontends.past import PastTurns
from app.frontends.settings import FrontEndSettings
from app.turns.service import TurnService


def wire(platform: Platform) -> Feature:
    """Needs the features turns and characters."""
    past = PastTurns(platform.store, platform.services.get(TurnService))
    return Feature(operations=OPERATIONS, services=(past, platform.settings_of(FrontEndSettings)))


FEATURE = FeatureSpec("frontends", wire, FrontEndSettings)
