"""The operation on events for other services."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.core.hub import EVENT_TYPES
from app.hub import routes
from app.hub.schemas import HubEvent
from app.turns.api import TICKET, TICKET_ISSUED
from app.web.auth import ALL_SCOPES
from app.web.parameters import EXAMPLE_CHARACTER, EXAMPLE_TURN, USER_ID
from app.web.routing import Answer, Channel, Operation, Parameter, Tag

HUB: Final = Tag("Events for other services", "What happens here, for whoever works with it.")

_EVENTS: Final = Channel(
    "hubEvents",
    "What other services are told",
    HubEvent,
    sends=("sendHubEvents", "CloudEvents 1.0 in structured mode, each at least once."),
    about="Server-sent events: `id: {position}` and `data: {json}` for each. The same events go to the "
    "hub of MESSAGE_HUB_URL: by `POST` to `/events` with the headers of Standard Webhooks, to the stream "
    "`{topic}.events` of Redis in the field `event`, or to `{topic}.{type}.{subject}` of NATS JetStream "
    "with `Nats-Msg-Id`. Events of one subject come in their order. One may come twice, with its `id`.",
)
_EXAMPLE: Final = (
    'id: 17\ndata: {"specversion":"1.0","id":"turn-cancelled-' + EXAMPLE_TURN + '",'
    '"source":"/dungeon-master/5f0c1e2d3a4b","type":"turn.cancelled",'
    f'"subject":"characters/{EXAMPLE_CHARACTER}",'
    '"time":"2030-01-01T12:00:00Z","datacontenttype":"application/json","userid":"local",'
    '"data":{"turn_id":"' + EXAMPLE_TURN + '","kind":"turn","user_id":"local",'
    f'"character_id":"{EXAMPLE_CHARACTER}","dry_run":false}}}}\n\n'
)

_operation = partial(Operation, scope="turns", also=tuple(sorted(ALL_SCOPES - {"turns"})), tag=HUB)

OPERATIONS: Final = (
    _operation(
        method="GET",
        path="/hub/events",
        endpoint=routes.get_hub_events,
        name="followHub",
        summary="Follow what other services are told",
        about="The caller's own events, as far as the scopes of the token go: those that are kept (a "
        "week), then each as it comes. After 10 s of silence a comment is sent.",
        parameters=(
            Parameter(
                "type",
                "query",
                "Only events of this type, or of types with this beginning, as in `turn.*`. May be "
                f"repeated, or several with commas: {', '.join(EVENT_TYPES)}.",
            ),
            Parameter(
                "users",
                "query",
                "`all`, with the scope admin: the events of all users; the default of a token with that "
                "scope.",
                {"type": "string", "enum": ["own", "all"]},
            ),
            Parameter(
                "Last-Event-ID", "header", "The `id` of the last event seen: go on behind it."
            ),
            Parameter("after", "query", "The same, where a client can send no header."),
            Parameter("lastEventId", "query", "The same."),
            TICKET,
            USER_ID,
        ),
        answers=(Answer(200, "The events.", events=HubEvent, example=_EXAMPLE),),
        errors=(
            errors.ValidationError,
            errors.Forbidden,
            errors.RateLimitExceeded,
            errors.Overloaded,
        ),
        channel=_EVENTS,
    ),
    _operation(
        method="POST",
        path="/hub/ticket",
        endpoint=routes.post_ticket,
        name="createHubTicket",
        summary="Get a ticket for what other services are told",
        about="For an EventSource, which can send no header: `?ticket=` on the events, for one minute, as "
        "far as the scopes of the token go.",
        parameters=(USER_ID,),
        answers=(TICKET_ISSUED,),
    ),
)
