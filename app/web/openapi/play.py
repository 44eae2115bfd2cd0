"""What players' clients call: turns and characters."""

from __future__ import annotations

from typing import Final

from app.web.openapi.parts import (
    ANY,
    CHANGES,
    CHARACTER_ID,
    EXAMPLE_CHARACTER,
    EXAMPLE_TURN,
    LIMITS,
    TAKES_BODY,
    TURN_ID,
    answer,
    body,
    event_stream,
    header,
    json_content,
    operation,
    query,
    shared,
)
from app.web.openapi.schemas import Json

USER: Final = shared("UserId")
ATTACHING: Final = ("turn_not_found", "turn_expired")
TELLING: Final = (
    "forbidden",
    "character_not_found",
    "turn_in_progress",
    "journey_log_error",
    "journey_log_timeout",
    "overloaded",
    "interrupted",
    "rate_limit_exceeded",
    "token_budget_exceeded",
)
MODEL: Final = ("llm_error", "llm_response_error", "llm_unavailable", "llm_timeout")
TURN_EXAMPLE: Final = {
    "character_id": EXAMPLE_CHARACTER,
    "user_action": "I lift the latch and look inside.",
}
CHARACTER_EXAMPLE: Final = {"name": "Maren Ashdown", "race": "Human", "class_name": "Ranger"}

READABLE: Final = ("Location", "X-Turn-Id", *LIMITS)

# -- turns ----------------------------------------------------------------------------------------


def _turn() -> Json:
    return operation(
        "Turns",
        "Take a turn and wait for its end",
        path="/turn",
        name="takeTurn",
        about="Going away does not stop the turn: it is finished, written, and can be read later.",
        parameters=shared("IdempotencyKey", "UserId"),
        request=body("TurnIn", TURN_EXAMPLE),
        answers={"200": answer("The turn.", json_content("Turn"), *READABLE)},
        errors=(
            *TAKES_BODY,
            *ATTACHING,
            *TELLING,
            *MODEL,
            "turn_cancelled",
            "idempotency_key_reused",
        ),
    )


def _turn_stream() -> Json:
    return operation(
        "Turns",
        "Take a turn and watch it",
        path="/turn/stream",
        name="streamTurn",
        about="Until the character's context is read, at the latest for 5 s, a failure is an HTTP "
        "status; after that it is an `error` event. A broken stream is resumed with GET at the "
        "address in `Location`, never by sending the turn again.",
        parameters=shared("IdempotencyKey", "UserId"),
        request=body("TurnIn", TURN_EXAMPLE),
        answers={
            "200": answer("The turn's events.", event_stream(), *READABLE),
        },
        errors=(
            *TAKES_BODY,
            *ATTACHING,
            *TELLING,
            "turn_cancelled",
            "idempotency_key_reused",
        ),
    )


def _turn_socket() -> Json:
    return operation(
        "Turns",
        "Take turns over a WebSocket",
        path="/turn/ws",
        name="turnSocket",
        about="The first message is a `TurnIn`, or a `ResumeMessage`; then the same events come, "
        "one JSON message each. A `CancelMessage` stops the turn. Several turns may follow one "
        "another. `/asyncapi.json` describes every message.",
        parameters=[
            *USER,
            header("Upgrade", "websocket", {"const": "websocket"}),
            header("Origin", "Must be this server or an allowed origin.", {"type": "string"}),
        ],
        answers={"101": {"description": "The socket is open."}},
        errors=(*ANY, "forbidden", "not_found", "rate_limit_exceeded", "overloaded"),
    )


def _described_turn() -> Json:
    return operation(
        "Turns",
        "A turn as it stands",
        path=f"/turns/{EXAMPLE_TURN}",
        name="getTurn",
        parameters=[TURN_ID, *USER],
        answers={"200": answer("The turn.", json_content("TurnDescription"))},
        errors=(*ANY, "turn_not_found"),
    )


def _turn_events() -> Json:
    return operation(
        "Turns",
        "A turn's events, replayed and then live",
        path=f"/turns/{EXAMPLE_TURN}/events",
        name="readTurnEvents",
        about="`Last-Event-ID` beats `after`; a malformed id, or one of another turn, means the "
        "start.",
        parameters=[
            TURN_ID,
            header(
                "Last-Event-ID", "`{turn_id}:{seq}` of the last event seen.", {"type": "string"}
            ),
            query("after", "Sequence number of the last event seen.", {"type": "integer"}),
            query("ticket", "For a client that can send no header.", {"type": "string"}),
            *USER,
        ],
        answers={
            "200": answer("The events.", event_stream(), "Location", "X-Turn-Id"),
            "204": answer("The turn has ended and its last event was seen. Stops an EventSource."),
        },
        errors=(*ANY, *ATTACHING, "rate_limit_exceeded", "overloaded"),
    )


def _cancel() -> Json:
    return operation(
        "Turns",
        "Cancel a turn",
        path=f"/turns/{EXAMPLE_TURN}/cancel",
        name="cancelTurn",
        about="Possible until the model's answer is validated. 202: nothing is written and no "
        "token follows.",
        parameters=[TURN_ID, *USER],
        answers={"202": answer("It is cancelled.", json_content("TurnCancelledAnswer"))},
        errors=(*CHANGES, "turn_not_found", "not_cancellable"),
    )


def _ticket() -> Json:
    return operation(
        "Turns",
        "Get a ticket for the events",
        path=f"/turns/{EXAMPLE_TURN}/ticket",
        name="createTicket",
        about="For an EventSource, which can send no header: `?ticket=` on the events of this turn, "
        "for one minute.",
        parameters=[TURN_ID, *USER],
        answers={
            "201": answer(
                "The ticket.",
                json_content(
                    "TicketAnswer", {"ticket": "1767225600.bG9jYWw.5f1d", "expires_in": 60}
                ),
            )
        },
        errors=(*CHANGES, "turn_not_found"),
    )


def _usage() -> Json:
    return operation(
        "Turns",
        "See your tokens of today",
        path="/usage",
        name="getUsage",
        about="Tokens are reserved when a turn is admitted and settled from what its model really "
        "used, also when it is cancelled or fails.",
        parameters=[*USER],
        answers={"200": answer("Today's tokens.", json_content("UsageReport"))},
        errors=ANY,
    )


# -- characters -----------------------------------------------------------------------------------


def _create_character() -> Json:
    content = json_content(
        "CharacterCreated",
        {"character_id": EXAMPLE_CHARACTER, "narrative": "Rain drums on the tavern roof."},
    )
    return operation(
        "Characters",
        "Make a character and hear its opening",
        path="/characters",
        name="createCharacter",
        about="With `Accept: text/event-stream` the opening is streamed. Where the opening fails "
        "the character stays; the problem then carries its `character_id`.",
        parameters=[
            *shared("IdempotencyKey", "UserId"),
            header("Accept", "`text/event-stream` streams the opening.", {"type": "string"}),
        ],
        request=body("CharacterIn", CHARACTER_EXAMPLE),
        answers={
            "200": answer("The opening, as it forms.", event_stream(), *READABLE, "X-Character-Id"),
            "201": answer("The character and its opening.", content),
        },
        errors=(
            *TAKES_BODY,
            *TELLING,
            *MODEL,
            "turn_cancelled",
            "character_exists",
        ),
    )


def _characters() -> Json:
    return operation(
        "Characters",
        "The caller's characters",
        path="/characters",
        name="listCharacters",
        parameters=USER,
        answers={"200": answer("Most recently played first.", json_content("Characters"))},
        errors=(*ANY, "forbidden", "journey_log_error", "journey_log_timeout"),
    )


def _character() -> Json:
    return operation(
        "Characters",
        "One character with its context",
        path=f"/characters/{EXAMPLE_CHARACTER}",
        name="getCharacter",
        parameters=[CHARACTER_ID, *USER],
        answers={"200": answer("The character.", json_content("CharacterSheet"))},
        errors=(
            *ANY,
            "validation_error",
            "forbidden",
            "character_not_found",
            "journey_log_error",
            "journey_log_timeout",
            "overloaded",
        ),
    )


def paths() -> Json:
    return {
        "/turn": {"post": _turn()},
        "/turn/stream": {"post": _turn_stream()},
        "/turn/ws": {"get": _turn_socket()},
        "/turns/{turn_id}": {"get": _described_turn()},
        "/turns/{turn_id}/events": {"get": _turn_events()},
        "/usage": {"get": _usage()},
        "/turns/{turn_id}/cancel": {"post": _cancel()},
        "/turns/{turn_id}/ticket": {"post": _ticket()},
        "/characters": {"post": _create_character(), "get": _characters()},
        "/characters/{character_id}": {"get": _character()},
    }
