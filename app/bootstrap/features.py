"""The features of the service, in the order in which they are wired."""

from __future__ import annotations

from typing import Final

from app.assistants.wiring import FEATURE as ASSISTANTS
from app.characters.wiring import FEATURE as CHARACTERS
from app.content.wiring import FEATURE as CONTENT
from app.dialogue.wiring import FEATURE as DIALOGUE
from app.feature import FeatureSpec
from app.frontends.wiring import FEATURE as FRONT_ENDS
from app.hub.wiring import FEATURE as HUB
from app.operations.wiring import FEATURE as OPERATIONS
from app.tables.wiring import FEATURE as TABLES
from app.turns.wiring import FEATURE as TURNS
from app.web.pages import FEATURE as PAGES

FEATURES: Final[tuple[FeatureSpec, ...]] = (
    TURNS,
    CHARACTERS,
    TABLES,
    DIALOGUE,
    CONTENT,
    HUB,
    FRONT_ENDS,
    ASSISTANTS,
    OPERATIONS,
    PAGES,
)
