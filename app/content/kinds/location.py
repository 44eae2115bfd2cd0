"""Places of a campaign."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from app.content.kind import Kind
from app.content.requests import CampaignContext, ContentIn, Name, Note
from app.core.written import Prose, Text, Texts, Written

Type = Literal["town", "dungeon", "wilderness", "landmark", "building", "shop", "tavern"]
Notes = Annotated[list[Note], Field(max_length=50)]


class LocationIn(ContentIn):
    """Body of `POST /api/v2/campaign/location`."""

    location_type: Type
    context: CampaignContext
    size: Name | None = None
    purpose: Note | None = None
    occupants: Notes | None = None
    features: Notes | None = None


class Location(Written):
    """The model's document for a place."""

    name: Text = ""
    description: Prose = ""
    points_of_interest: Texts = ()
    occupants: Texts = ()
    secrets: Texts = ()
    hooks: Texts = ()


class LocationOfType(Location):
    location_type: Type = "town"


KIND: Final = Kind(
    name="location",
    path="/campaign/location",
    summary="Make up a place",
    request=LocationIn,
    document=Location,
    text="description",
    task=lambda asked: (
        f'Make up a place of the type "{asked.location_type}". "description": to be read aloud. '
        '"secrets": what players may find out. "hooks": what may bring them here.'
    ),
    reply=lambda asked, place: {"location_type": asked.location_type, **place.model_dump()},
    replied=LocationOfType,
    example={"location_type": "tavern", "context": {"setting": "Ravenloft"}, "size": "small"},
)
