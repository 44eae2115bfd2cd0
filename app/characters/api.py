"""The operations on characters."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.characters import routes, schemas
from app.core import wire
from app.turns.api import (
    EVENT_EXAMPLE,
    LAST_EVENT_ID_IN_QUERY,
    MODEL,
    READABLE,
    RUNNING,
    SEEN_TO_THE_END,
    TICKET,
    TICKET_ISSUED,
)
from app.web.dialects.catalogue import DIALECT, FOREIGN
from app.web.parameters import (
    CHARACTER_ID,
    EXAMPLE_CHARACTER,
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    USER_ID,
    UUID,
    page_limit,
)
from app.web.routing import Answer, Body, Channel, Header, Operation, Parameter, Tag

CHARACTERS: Final = Tag("Characters", "Make a character and hear its opening.")
_operation = partial(Operation, scope="turns", tag=CHARACTERS)

_LISTED: Final = (errors.Forbidden, errors.JourneyLogError, errors.JourneyLogTimeout)
_KNOWN: Final = (*_LISTED, errors.ValidationError, errors.CharacterNotFound)

X_CHARACTER_ID: Final = Header("X-Character-Id", "The new character.", UUID)

_ACCEPT: Final = Parameter("Accept", "header", "`text/event-stream` streams the opening.")
_OPENING: Final = (
    Answer(
        200,
        "The opening, as it forms.",
        events=wire.TurnEvent,
        headers=(*READABLE, X_CHARACTER_ID),
        example=EVENT_EXAMPLE,
    ),
    Answer(
        201,
        "The character and its opening.",
        json=schemas.CharacterCreated,
        example={
            "character_id": EXAMPLE_CHARACTER,
            "narrative": "Rain drums on the tavern roof.",
        },
    ),
    SEEN_TO_THE_END,
)

_EVENTS: Final = Channel(
    "characterEvents",
    "The events of a character's turns over HTTP",
    wire.TurnEvent,
    sends=("followCharacter", "The events of one turn after another."),
    about="Server-sent events: `id: {turn_id}:{seq}` and `data: {json}` for each. No `[DONE]`: the next "
    "turn follows on the same stream.",
)

OPERATIONS: Final = (
    _operation(
        method="POST",
        path="/characters",
        endpoint=routes.post_character,
        name="createCharacter",
        summary="Make a character and hear its opening",
        about="With `Accept: text/event-stream` the opening is streamed. Where the opening fails "
        "the character stays; the problem then carries its `character_id`, and the same request "
        "tries the opening again.",
        parameters=(IDEMPOTENCY_KEY, LAST_EVENT_ID, USER_ID, _ACCEPT),
        request=Body(
            schemas.CharacterIn,
            {"name": "Maren Ashdown", "race": "Human", "class_name": "Ranger"},
        ),
        answers=_OPENING,
        errors=(*RUNNING, *MODEL, errors.CharacterExists),
    ),
    _operation(
        method="POST",
        path="/characters/{character_id}/opening",
        endpoint=routes.post_opening,
        name="openStory",
        summary="Play the opening of a character that has none yet",
        about="Its first one failed, was cancelled, or was cut off when the service stopped. Without "
        "an `adventure_prompt` it is about what was wished for when the character was made. Once "
        "the story has begun: `character_exists`.",
        parameters=(CHARACTER_ID, IDEMPOTENCY_KEY, LAST_EVENT_ID, USER_ID, _ACCEPT),
        request=Body(
            schemas.OpeningIn, {"adventure_prompt": "A lighthouse burns black."}, required=False
        ),
        answers=_OPENING,
        errors=(*RUNNING, *MODEL, errors.CharacterExists),
    ),
    _operation(
        method="GET",
        path="/characters",
        endpoint=routes.get_characters,
        name="listCharacters",
        summary="The caller's characters",
        parameters=(USER_ID,),
        answers=(Answer(200, "Most recently played first.", json=schemas.Characters),),
        errors=_LISTED,
    ),
    _operation(
        method="GET",
        path="/characters/{character_id}",
        endpoint=routes.get_character,
        name="getCharacter",
        summary="One character with its context",
        parameters=(CHARACTER_ID, USER_ID),
        answers=(Answer(200, "The character.", json=schemas.CharacterSheet),),
        errors=(*_KNOWN, errors.Overloaded),
    ),
    _operation(
        method="GET",
        path="/characters/{character_id}/turns",
        endpoint=routes.get_character_turns,
        name="listCharacterTurns",
        summary="A character's turns, newest first",
        about="Back to the first one that is kept: turns older than this service's own record come "
        "from journey-log, which shows its newest 100, with their ids there and without intents.",
        parameters=(
            CHARACTER_ID,
            page_limit("How many turns."),
            Parameter("before", "query", "`next` of the page before: only older turns."),
            USER_ID,
        ),
        answers=(Answer(200, "The turns.", json=schemas.TurnPage),),
        errors=(*_KNOWN, errors.InvalidLimit, errors.TurnNotFound),
    ),
    _operation(
        method="GET",
        path="/characters/{character_id}/events",
        endpoint=routes.get_character_events,
        name="readCharacterEvents",
        summary="All turns of a character, as they come",
        about="Of turns begun on any device: the running one from its start, then every later one, "
        "each event with the id that it has in its own turn. Where the past ends, one "
        "`metadata{phase: live}` without an id follows. The stream does not end with a turn. With "
        "the id of the last event seen it goes on behind it.",
        parameters=(
            CHARACTER_ID,
            LAST_EVENT_ID,
            Parameter("after", "query", "The same, where a client can send no header."),
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
                example=EVENT_EXAMPLE,
            ),
        ),
        errors=(*_KNOWN, errors.RateLimitExceeded, errors.Overloaded),
        channel=_EVENTS,
    ),
    _operation(
        method="POST",
        path="/characters/{character_id}/ticket",
        endpoint=routes.post_ticket,
        name="createCharacterTicket",
        summary="Get a ticket for the events of a character",
        about="For an EventSource, which can send no header: `?ticket=` on the events of this "
        "character, for one minute.",
        parameters=(CHARACTER_ID, USER_ID),
        answers=(TICKET_ISSUED,),
        errors=(*_KNOWN,),
    ),
)
