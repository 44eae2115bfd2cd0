"""Texts about a character, and the texts of a campaign that are as short."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import AliasChoices, Field

from app.content.kind import Kind
from app.content.requests import CampaignContext, CharacterContext, ContentIn, Facts, Theme
from app.core.written import Prose, Written

# fmt: off
Type = Literal[
    "backstory", "personality", "combat", "equipment", "plot", "location", "quest", "dialogue", "event",
    "story",
]
# fmt: on
_ABOUT = (
    "the backstory of this character: origin, a turning point, what drives it now",
    "the personality of this character: traits, ideals, bonds, flaws, manners",
    "how this character fights: tactics, favoured moves, habits under pressure",
    "the equipment of this character: what it carries, and the past of one piece",
    "a plot for this campaign: premise, antagonist, three turns, what is at stake",
    "a place: what one sees, hears and smells, who is there, what it hides",
    "a quest: who asks for it, the goal, obstacles, the reward",
    "a dialogue in which each line stands behind its speaker's name",
    "an event that befalls the characters: what happens and what it may lead to",
    "a short story with a beginning, a turn and an end",
)
_NAMES = AliasChoices("character_context", "parameters")
TASKS: Final = dict(zip(get_args(Type), _ABOUT, strict=True))


class CharacterTextIn(ContentIn):
    """Body of `POST /api/v2/text/character`."""

    type: Type
    character_context: CharacterContext | None = Field(None, validation_alias=_NAMES)
    campaign_context: CampaignContext | None = None
    additional_context: Facts | None = None
    theme: Theme | None = None


class CharacterText(Written):
    """The model's document for a character: prose."""

    content: Prose = ""


KIND: Final = Kind(
    name="character",
    path="/text/character",
    summary="Write about a character",
    request=CharacterTextIn,
    document=CharacterText,
    text="content",
    task=lambda asked: f'"content": {TASKS[asked.type]}.',
    example={"type": "backstory", "character_context": {"character_class": "Paladin"}},
)
