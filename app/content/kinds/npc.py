"""People of a campaign."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from app.content.kind import Kind
from app.content.requests import CampaignContext, ContentIn, Facts
from app.core.written import Prose, Relations, Text, Texts, Written

Role = Literal["ally", "antagonist", "merchant", "quest_giver", "lore_keeper", "mentor", "neutral"]


class NpcIn(ContentIn):
    """Body of `POST /api/v2/campaign/npc`."""

    role: Role
    context: CampaignContext
    traits: Facts | None = None
    relationships: Facts | None = None


class Npc(Written):
    """The model's document for a non-player character."""

    name: Text = ""
    description: Prose = ""
    personality: Text = ""
    motivations: Texts = ()
    secrets: Texts = ()
    relationships: Relations = Field(default_factory=dict)


class NpcOfRole(Npc):
    role: Role = "neutral"


KIND: Final = Kind(
    name="npc",
    path="/campaign/npc",
    summary="Make up somebody",
    request=NpcIn,
    document=Npc,
    text="description",
    task=lambda asked: (
        f'Make up somebody whose role is "{asked.role}". "description": looks, voice and first '
        'impression. "secrets": what players may find out. "relationships": what others are to them.'
    ),
    reply=lambda asked, npc: {"role": asked.role, **npc.model_dump()},
    replied=NpcOfRole,
    example={"role": "quest_giver", "context": {"setting": "Ravenloft", "party_level": 7}},
)
