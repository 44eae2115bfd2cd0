"""The operations on turns."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.core import wire
from app.turns import routes, schemas
from app.turns.question_routes import ask_operation
from app.turns.socket import turn_socket
from app.web.dialects.catalogue import DIALECT, FOREIGN
from app.web.parameters import (
    DAYS,
    EXAMPLE_CHARACTER,
    EXAMPLE_TURN,
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    LOCATION,
    RATE_LIMITS,
    TURN_ID,
    USER_ID,
    UUID,
)
from app.web.routing import (
    Answer,
    Body,
    Channel,
    Header,
    Json,
    Message,
    Operation,
    Parameter,
    Tag,
)

TURNS: Final = Tag("Turns", "Take a turn, watch it, read it again, stop it.")
_operation = partial(Operation, scope="turns", tag=TURNS)

ATTACHING: Final = (errors.TurnNotFound, errors.TurnExpired)
NO_ROOM: Final = (errors.Overloaded, errors.RateLimitExceeded, errors.TokenBudgetExceeded)
RUNNING: Final = (
    errors.Forbidden,
    errors.CharacterNotFound,
    errors.TurnInProgress,
    errors.JourneyLogError,
    errors.JourneyLogTimeout,
    *NO_ROOM,
    errors.Interrupted,
    errors.TurnCancelled,
)
MODEL: Final = (errors.LLMError, errors.LLMResponseError, errors.LLMUnavailable, errors.LLMTimeout)
# What a model answers without journey-log.
ANSWERING: Final = (
    *ATTACHING,
    errors.TurnInProgress,
    errors.TurnCancelled,
    *NO_ROOM,
    errors.Interrupted,
    errors.IdempotencyKeyReused,
    *MODEL,
)

TURN_EXAMPLE: Final[Json] = {
    "character_id": EXAMPLE_CHARACTER,
    "user_action": "I lift the latch and look inside.",
}
EVENT_EXAMPLE: Final = (
    f"id: {EXAMPLE_TURN}:4\n"
    'data: {"type":"token","timestamp":"2030-01-01T12:00:00.000Z",'
    '"content":"The torch","index":0,"field":"narrative"}\n\n'
)
LAST_EVENT_ID_IN_QUERY: Final = Parameter(
    "lastEventId", "query", "`{turn_id}:{seq}`, for clients that can set no header."
)
TICKET: Final = Parameter("ticket", "query", "For a client that can send no header.")
TICKET_ISSUED: Final = Answer(
    201,
    "The ticket.",
    json=schemas.TicketAnswer,
    example={"ticket": "1767225600.bG9jYWw.5f1d", "expires_in": 60},
)
SEEN_TO_THE_END: Final = Answer(
    204, "The turn has ended and its last event was seen. Stops an EventSource."
)
X_TURN_ID: Final = Header("X-Turn-Id", "The turn.", UUID)
READABLE: Final = (LOCATION, X_TURN_ID, *RATE_LIMITS)

_SOCKET: Final = Channel(
    "turnSocket",
    "Turns over a WebSocket",
    wire.TurnEvent,
    sends=("sendTurnEvents", "The events of the turn."),
    receives=("receiveTurnMessage", "What a client says."),
    messages=(
        Message(schemas.TurnIn, "Begin a turn", TURN_EXAMPLE),
        Message(
            schemas.ResumeMessage,
            "Go on reading",
            {"type": "resume", "turn_id": EXAMPLE_TURN, "after": 4},
        ),
        Message(schemas.CancelMessage, "Stop the turn", {"type": "cancel"}),
        Message(schemas.CommitMessage, "Commit the turn", {"type": "commit"}),
        Message(schemas.RetellMessage, "Have the turn retold", {"type": "retell"}),
        Message(schemas.PingMessage, "A heartbeat; a `pong` answers", {"type": "ping"}),
    ),
    about="After the first message (a `TurnIn` or a `ResumeMessage`) the events of the turn come "
    "in order, up to exactly one terminal event: `complete`, `error` or `cancelled`. Then another "
    "turn may follow on the same socket. Leaving does not stop a turn; a `CancelMessage` does, "
    "until the model's answer is validated. A message that cannot be accepted is answered by an "
    "`error` event with `phase: request`, and ends nothing.",
)
_EVENTS: Final = Channel(
    "turnEvents",
    "A turn's events over HTTP",
    wire.TurnEvent,
    sends=("replayTurnEvents", "The same events, over HTTP."),
    about="Server-sent events: `id: {turn_id}:{seq}` and `data: {json}` for each, `data: [DONE]` "
    "after the terminal one. `POST /turn/stream` answers with the same stream.",
)

OPERATIONS: Final = (
    ask_operation(TURNS),
    _operation(
        method="POST",
        path="/turn",
        endpoint=routes.post_turn,
        name="takeTurn",
        summary="Take a turn and wait for its end",
        about="Going away does not stop the turn: it is finished, written, and can be read later.",
        parameters=(IDEMPOTENCY_KEY, USER_ID),
        request=Body(schemas.TurnIn, TURN_EXAMPLE),
        answers=(
            Answer(200, "The turn.", json=schemas.Turn, headers=READABLE),
            Answer(
                202,
                "With `commit: manual`: the turn as it awaits its commit.",
                json=schemas.TurnDescription,
                headers=READABLE,
            ),
        ),
        errors=(*ATTACHING, *RUNNING, *MODEL, errors.IdempotencyKeyReused),
    ),
    _operation(
        method="POST",
        path="/turn/stream",
        endpoint=routes.post_turn_stream,
        name="streamTurn",
        summary="Take a turn and watch it",
        about="Until the character's context is read, at the latest for 5 s, a failure is an HTTP "
        "status; after that it is an `error` event. A broken stream is resumed with GET at the "
        "address in `Location`, never by sending the turn again.",
        parameters=(IDEMPOTENCY_KEY, LAST_EVENT_ID, DIALECT, USER_ID),
        request=Body(schemas.TurnIn, TURN_EXAMPLE),
        answers=(
            Answer(
                200,
                "The turn's events.",
                events=wire.TurnEvent,
                foreign=FOREIGN,
                headers=READABLE,
                example=EVENT_EXAMPLE,
            ),
            SEEN_TO_THE_END,
        ),
        errors=(*ATTACHING, *RUNNING, errors.IdempotencyKeyReused),
    ),
    _operation(
        method="WEBSOCKET",
        path="/turn/ws",
        endpoint=turn_socket,
        name="turnSocket",
        summary="Take turns over a WebSocket",
        about="The first message is a `TurnIn`, or a `ResumeMessage`; then the same events come, "
        "one JSON message each. A `CancelMessage` stops the turn. Several turns may follow one "
        "another. `/asyncapi.json` describes every message.",
        parameters=(
            USER_ID,
            Parameter("Upgrade", "header", "websocket", {"const": "websocket"}),
            Parameter("Origin", "header", "Must be this server or an allowed origin."),
        ),
        answers=(Answer(101, "The socket is open."),),
        errors=(
            errors.Forbidden,
            errors.UpgradeRequired,
            errors.RateLimitExceeded,
            errors.Overloaded,
        ),
        channel=_SOCKET,
    ),
    _operation(
        method="GET",
        path="/turns/{turn_id}",
        endpoint=routes.get_turn,
        name="getTurn",
        also=("chat", "content"),
        summary="A turn as it stands",
        parameters=(TURN_ID, USER_ID),
        answers=(Answer(200, "The turn.", json=schemas.TurnDescription),),
        errors=(errors.TurnNotFound,),
    ),
    _operation(
        method="GET",
        path="/turns/{turn_id}/events",
        endpoint=routes.get_turn_events,
        name="readTurnEvents",
        also=("chat", "content"),
        summary="A turn's events, replayed and then live",
        about="`Last-Event-ID` beats `after`, which beats `lastEventId`; a malformed id, or one of "
        "another turn, means the start.",
        parameters=(
            TURN_ID,
            LAST_EVENT_ID,
            Parameter(
                "after", "query", "Sequence number of the last event seen.", {"type": "integer"}
            ),
            LAST_EVENT_ID_IN_QUERY,
            DIALECT,
            TICKET,
            USER_ID,
        ),
        answers=(
            Answer(
                200,
                "The events.",
                events=wire.TurnEvent,
                foreign=FOREIGN,
                headers=(LOCATION, X_TURN_ID),
                example=EVENT_EXAMPLE,
            ),
            SEEN_TO_THE_END,
        ),
        errors=(*ATTACHING, errors.ValidationError, errors.RateLimitExceeded, errors.Overloaded),
        channel=_EVENTS,
    ),
    _operation(
        method="GET",
        path="/usage",
        endpoint=routes.get_usage,
        name="getUsage",
        summary="See what you have used",
        about="Tokens, and money where it is limited, are reserved when a turn is admitted and settled "
        "from what its model really used, also when it is cancelled or fails.",
        parameters=(DAYS, USER_ID),
        answers=(Answer(200, "Of today and of the days before.", json=schemas.UsageReport),),
        errors=(errors.ValidationError,),
    ),
    _operation(
        method="POST",
        path="/turns/{turn_id}/cancel",
        endpoint=routes.post_cancel,
        name="cancelTurn",
        also=("chat", "content"),
        summary="Cancel a turn",
        about="Possible until the model's answer is validated. 202: nothing is written and no "
        "token follows.",
        parameters=(TURN_ID, USER_ID),
        answers=(Answer(202, "It is cancelled.", json=schemas.TurnCancelledAnswer),),
        errors=(errors.TurnNotFound, errors.NotCancellable),
    ),
    _operation(
        method="POST",
        path="/turns/{turn_id}/commit",
        endpoint=routes.post_commit,
        name="commitTurn",
        summary="Commit a turn that awaits it",
        about="A turn of `commit: manual` writes nothing before. 202: it will be written; also where it "
        "was committed already. Not committed within COMMIT_TIMEOUT_SECONDS, it is cancelled.",
        parameters=(TURN_ID, USER_ID),
        answers=(Answer(202, "It will be written.", json=schemas.TurnChosenAnswer),),
        errors=(errors.TurnNotFound, errors.NotAwaitingCommit),
    ),
    _operation(
        method="POST",
        path="/turns/{turn_id}/retell",
        endpoint=routes.post_retell,
        name="retellTurn",
        summary="Have a turn retold that awaits its commit",
        about="Behind `metadata` of phase `retelling` readers drop the narrative so far; then comes the "
        "new one, or the earlier one where the retelling fails. Limits and budget count it as a turn.",
        parameters=(TURN_ID, USER_ID),
        request=Body(schemas.RetellIn, {"guidance": "less blood"}, required=False),
        answers=(Answer(202, "It is being retold.", json=schemas.TurnChosenAnswer),),
        errors=(errors.TurnNotFound, errors.NotAwaitingCommit, *NO_ROOM),
    ),
    _operation(
        method="POST",
        path="/turns/{turn_id}/ticket",
        endpoint=routes.post_ticket,
        name="createTicket",
        also=("chat", "content"),
        summary="Get a ticket for the events",
        about="For an EventSource, which can send no header: `?ticket=` on the events of this turn, "
        "for one minute.",
        parameters=(TURN_ID, USER_ID),
        answers=(TICKET_ISSUED,),
        errors=(errors.TurnNotFound,),
    ),
)
