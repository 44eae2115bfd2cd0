"""Invitations to a table, and those who were removed from it."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app.tables import invitation_schemas as schemas
from app.tables.invitations import TableInvitations
from app.tables.routes import visit_of
from app.tables.socket import DONE, MEMBER_ID, SESSION_ID, at_table
from app.tables.views import invitation_view
from app.web.answers import JSONAnswer
from app.web.inputs import read_model
from app.web.parameters import USER_ID
from app.web.routing import Answer, Body, Parameter
from app.web.services import services_of


async def post_invitation(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, schemas.InvitationIn, absent=b"{}")
    service = services_of(request).get(TableInvitations)
    invitation, token = await service.invite(visit, body.role, body.expires_in)
    return JSONAnswer({**invitation_view(invitation), "token": token}, 201)


async def get_invitations(request: Request) -> Response:
    visit = await visit_of(request)
    found = await services_of(request).get(TableInvitations).invitations(visit)
    return JSONAnswer(schemas.Invitations(invitations=[invitation_view(one) for one in found]))


async def delete_invitation(request: Request) -> Response:
    visit = await visit_of(request)
    name = request.path_params["invitation_id"]
    await services_of(request).get(TableInvitations).revoke(visit, name)
    return Response(status_code=204)


async def get_removed(request: Request) -> Response:
    visit = await visit_of(request)
    found = await services_of(request).get(TableInvitations).removed(visit)
    removed = [
        schemas.RemovedMember(user_id=one.user_id, player_name=one.player_name) for one in found
    ]
    return JSONAnswer(schemas.RemovedMembers(removed=removed))


async def delete_removed(request: Request) -> Response:
    visit = await visit_of(request)
    user_id = request.path_params["user_id"]
    await services_of(request).get(TableInvitations).readmit(visit, user_id)
    return Response(status_code=204)


OPERATIONS: Final = (
    at_table(
        method="POST",
        path="/api/sessions/{session_id}/invitations",
        endpoint=post_invitation,
        name="invite",
        summary="Make an invitation",
        about="For the owner and the dungeon master; one for a dungeon master is for the owner to make. "
        "Any number of people may use it.",
        request=Body(schemas.InvitationIn, {"role": "player"}, required=False),
        answers=(Answer(201, "The invitation and its token.", json=schemas.NewInvitation),),
    ),
    at_table(
        method="GET",
        path="/api/sessions/{session_id}/invitations",
        endpoint=get_invitations,
        name="listInvitations",
        summary="The invitations of a session, without their tokens",
        answers=(Answer(200, "Oldest first.", json=schemas.Invitations),),
    ),
    at_table(
        method="DELETE",
        path="/api/sessions/{session_id}/invitations/{invitation_id}",
        endpoint=delete_invitation,
        name="revokeInvitation",
        summary="Revoke an invitation; whoever has joined stays",
        parameters=(
            SESSION_ID,
            Parameter("invitation_id", "path", "The invitation.", example="an-invitation"),
            USER_ID,
        ),
        answers=DONE,
    ),
    at_table(
        method="GET",
        path="/api/sessions/{session_id}/removed",
        endpoint=get_removed,
        name="listRemoved",
        summary="Who was removed, and takes no seat again",
        about="For the owner and the dungeon master.",
        answers=(Answer(200, "Those who are not readmitted.", json=schemas.RemovedMembers),),
    ),
    at_table(
        method="DELETE",
        path="/api/sessions/{session_id}/removed/{user_id}",
        endpoint=delete_removed,
        name="readmitMember",
        summary="Let a removed member take a seat again",
        about="For the owner and the dungeon master. They need an invitation, or an open session.",
        parameters=(
            SESSION_ID,
            MEMBER_ID,
            USER_ID,
        ),
        answers=DONE,
    ),
)
