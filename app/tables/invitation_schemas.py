"""Requests and answers about who may take a seat."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from app.core.fields import Time
from app.core.tables import Role
from app.web.bodies import RequestBody


class InvitationIn(RequestBody):
    """Body of `POST /api/sessions/{session_id}/invitations`."""

    role: Role = "player"
    expires_in: Annotated[int, Field(ge=60, le=31_536_000)] | None = Field(
        None, description="Seconds; without it, until it is revoked."
    )


class RemovedMember(TypedDict):
    user_id: str
    player_name: str


class RemovedMembers(TypedDict):
    removed: list[RemovedMember]


class InvitationView(TypedDict):
    id: str
    role: Role
    created_at: Time
    expires_at: Time | None
    revoked: bool


class NewInvitation(InvitationView):
    token: Annotated[str, Field(description="Shown this once.")]


class Invitations(TypedDict):
    invitations: list[InvitationView]
