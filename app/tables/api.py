"""The operations on tables."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.tables import deeds, routes, schemas
from app.tables.approval import OPERATIONS as APPROVAL
from app.tables.campaign import OPERATIONS as CAMPAIGN
from app.tables.chat_routes import OPERATIONS as CHAT
from app.tables.choice_routes import OPERATIONS as CHOICES
from app.tables.invitation_routes import OPERATIONS as INVITATIONS
from app.tables.moderation import OPERATIONS as MODERATION
from app.tables.round_routes import OPERATIONS as ROUNDS
from app.tables.round_schemas import RoundView
from app.tables.socket import DONE, MEMBER_ID, SESSION_ID, TABLES, at_table
from app.tables.socket import OPERATIONS as SOCKET
from app.tables.summary_routes import OPERATIONS as SUMMARY
from app.turns.api import TICKET, TICKET_ISSUED, X_TURN_ID
from app.web.parameters import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    RATE_LIMITS,
    USER_ID,
    UUID,
    page_limit,
)
from app.web.routing import Answer, Body, Channel, Header, Operation, Parameter

_KNOWN: Final = (errors.NotFound, errors.ValidationError)
_operation = partial(Operation, scope="tables", tag=TABLES)
_at_table = partial(at_table, method="GET", errors=_KNOWN)
_moderated = partial(at_table, method="POST")

EXAMPLE_MESSAGE: Final = {"sender_name": "Mara", "content": "Shall we knock?"}
_PLAYED: Final = (
    Answer(
        202, "It is in the round, or it awaits its commit.", json=RoundView | schemas.SessionAnswer
    ),
    Answer(
        200,
        "What the Dungeon Master says.",
        json=schemas.SessionAnswer,
        headers=(
            Header("Location", "The session's stream: `/api/sessions/{session_id}/events`."),
            X_TURN_ID,
            *RATE_LIMITS,
        ),
    ),
)
_REFERENCES: Final = Parameter(
    "references", "query", "Content of yours for the prompt, by `content_id`; up to 8.", UUID
)
_PLAYING: Final = (SESSION_ID, _REFERENCES, IDEMPOTENCY_KEY, USER_ID)


def _query(name: str, about: str) -> Parameter:
    return Parameter(name, "query", about)


_EVENTS: Final = Channel(
    "tableEvents",
    "Everything that happens at a table, over HTTP",
    schemas.TableEvent,
    sends=("followTable", "What is said, and the events of one turn after another."),
    about="Server-sent events: `id: {line}:{turn_id}:{seq}` and `data: {json}` for each. Without an id "
    "of one the stream begins with the first thing said; where the past ends, `metadata` with the phase "
    "`live` follows. No `[DONE]`: the table goes on.",
)
_SESSIONS: Final = (
    _operation(
        method="POST",
        path="/api/sessions",
        endpoint=routes.post_session,
        name="createSession",
        summary="Open a table",
        about="Who opens it owns it. Others join by invitation, or openly where the session says so.",
        parameters=(USER_ID,),
        request=Body(schemas.SessionIn, {"name": "The Drowned Bell"}),
        answers=(Answer(200, "The session.", json=schemas.Session),),
    ),
    _operation(
        method="GET",
        path="/api/sessions",
        endpoint=routes.get_sessions,
        name="listSessions",
        summary="The caller's sessions, newest first",
        parameters=(USER_ID,),
        answers=(
            Answer(200, "Those that the caller owns or sits at.", json=list[schemas.Session]),
        ),
    ),
    _at_table(
        path="/api/sessions/{session_id}",
        endpoint=routes.get_session,
        name="getSession",
        summary="A session",
        answers=(Answer(200, "The session.", json=schemas.Session),),
    ),
    _moderated(
        method="PUT",
        path="/api/sessions/{session_id}",
        endpoint=routes.put_session,
        name="changeSession",
        summary="Change a session's name, limits or rules",
        about="For its owner.",
        request=Body(schemas.SessionChange, {"requests_per_minute": 40}),
        answers=(Answer(200, "The session.", json=schemas.Session),),
    ),
    _moderated(
        method="DELETE",
        path="/api/sessions/{session_id}",
        endpoint=routes.delete_session,
        name="deleteSession",
        summary="End a session for good",
        about="For its owner. What was said there is deleted.",
        answers=DONE,
    ),
)
_SEATS: Final = (
    _at_table(
        path="/api/sessions/{session_id}/members",
        endpoint=routes.get_members,
        name="listMembers",
        summary="Who sits at the table, and who is connected",
        answers=(Answer(200, "In the order in which they joined.", json=schemas.Members),),
    ),
    _moderated(
        method="DELETE",
        path="/api/sessions/{session_id}/members/{user_id}",
        endpoint=routes.delete_member,
        name="removeMember",
        summary="Remove a member, who stops reading at once",
        about="For the owner and the dungeon master. Whoever was removed takes no seat again, "
        "with whatever invitation, until they are readmitted.",
        parameters=(
            SESSION_ID,
            MEMBER_ID,
            USER_ID,
        ),
        answers=DONE,
    ),
    _moderated(
        path="/api/sessions/{session_id}/join",
        endpoint=routes.post_join,
        name="joinSession",
        summary="Take a seat",
        about="With the token of an invitation, or without one where the session is open. Not for those "
        "who were removed.",
        request=Body(schemas.JoinIn, {"player_name": "Mara"}, required=False),
        answers=(Answer(200, "The session.", json=schemas.Session),),
    ),
    _at_table(
        method="POST",
        path="/api/sessions/{session_id}/leave",
        endpoint=routes.post_leave,
        name="leaveSession",
        summary="Give up one's seat",
        answers=DONE,
    ),
)
_STORY: Final = (
    _operation(
        method="GET",
        path="/api/sessions/{session_id}/messages",
        endpoint=routes.get_messages,
        name="listMessages",
        summary="What was said, oldest first",
        parameters=(
            SESSION_ID,
            page_limit("How many of the newest.", 50, routes.MAX_MESSAGES),
            Parameter("before", "query", "Only those before this message.", {"type": "integer"}),
            USER_ID,
        ),
        answers=(Answer(200, "The messages.", json=list[schemas.SessionMessage]),),
        errors=(*_KNOWN, errors.InvalidLimit),
    ),
    _moderated(
        path="/api/sessions/{session_id}/messages",
        endpoint=routes.post_message,
        name="postMessage",
        summary="Say something to everybody, which is no action",
        request=Body(schemas.MessageIn, EXAMPLE_MESSAGE),
        answers=(Answer(200, "The message.", json=schemas.SessionMessage),),
    ),
    _operation(
        method="POST",
        path="/api/sessions/{session_id}/start",
        endpoint=deeds.post_start,
        name="startSession",
        summary="Play the opening, and wait for it",
        parameters=_PLAYING,
        answers=_PLAYED,
        errors=deeds.REFUSED,
    ),
    _operation(
        method="POST",
        path="/api/sessions/{session_id}/action",
        endpoint=deeds.post_action,
        name="act",
        summary="Act, and wait for what comes of it",
        about="One turn at a time is played; others wait, the player first who has waited longest.",
        parameters=(
            SESSION_ID,
            _query("player_name", "Who acts."),
            Parameter("action", "query", "What is done or said.", example="I knock."),
            _REFERENCES,
            IDEMPOTENCY_KEY,
            USER_ID,
        ),
        answers=_PLAYED,
        errors=deeds.REFUSED,
    ),
    _operation(
        method="POST",
        path="/api/sessions/{session_id}/roll",
        endpoint=deeds.post_roll,
        name="roll",
        summary="Roll, or report a roll, and wait for what comes of it",
        about="Without a `result` the service rolls.",
        parameters=_PLAYING,
        request=Body(schemas.RollIn, {"roll_type": "check", "result": 14}, required=False),
        answers=_PLAYED,
        errors=deeds.REFUSED,
    ),
    _at_table(
        path="/api/sessions/{session_id}/tokens",
        endpoint=routes.get_tokens,
        name="getTokens",
        summary="How many tokens the session has used",
        answers=(Answer(200, "Real usage, in all turns so far.", json=schemas.TokensLeft),),
    ),
    _operation(
        method="GET",
        path="/api/sessions/{session_id}/events",
        endpoint=routes.get_events,
        name="followSession",
        summary="Everything that happens at the table, from the beginning on",
        about="Ids are `{line}:{turn_id}:{seq}`. `Last-Event-ID` beats `after`, which beats `lastEventId`.",
        parameters=(
            SESSION_ID,
            LAST_EVENT_ID,
            _query("after", "The same, for a client that cannot send the header."),
            _query("lastEventId", "The same."),
            TICKET,
            USER_ID,
        ),
        answers=(Answer(200, "The events.", events=schemas.TableEvent),),
        errors=(*_KNOWN, errors.RateLimitExceeded, errors.Overloaded),
        channel=_EVENTS,
    ),
    at_table(
        method="POST",
        path="/api/sessions/{session_id}/ticket",
        endpoint=routes.post_ticket,
        name="createSessionTicket",
        summary="Get a ticket for the events of the table",
        about="For an EventSource, which can send no header: `?ticket=` on the events of this session, for "
        "one minute. Whoever is no member any more reads no further with it.",
        answers=(TICKET_ISSUED,),
        errors=_KNOWN,
    ),
)

OPERATIONS: Final = (
    *_SESSIONS,
    *_SEATS,
    *INVITATIONS,
    *_STORY,
    *ROUNDS,
    *APPROVAL,
    *CHOICES,
    *MODERATION,
    *SUMMARY,
    *SOCKET,
    *CAMPAIGN,
    *CHAT,
)
