"""The API descriptions of everything that the service serves."""

from __future__ import annotations

from app.characters import api as characters
from app.content import api as content
from app.content.kinds import KINDS
from app.dialogue import api as dialogue
from app.frontends import api as front_ends
from app.hub import api as hub
from app.operations import api as operators
from app.tables import api as tables
from app.turns import api as turns
from app.web import pages
from app.web.openapi import Documents

DOCUMENTS = Documents(
    (
        *turns.OPERATIONS,
        *characters.OPERATIONS,
        *tables.OPERATIONS,
        *dialogue.OPERATIONS,
        *content.operations_of(KINDS),
        *hub.OPERATIONS,
        *front_ends.OPERATIONS,
        *operators.operations(),
        *pages.OPERATIONS,
    )
)
