"""The operations on characters."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.characters import routes, schemas
from app.core import wire
from app.turns.api import EVENT_EXAMPLE, MODEL, READABLE, RUNNING
from app.web.parameters import CHARACTER_ID, EXAMPLE_CHARACTER, IDEMPOTENCY_KEY, USER_ID, UUID
from app.web.routing import Answer, Body, Header, Operation, Parameter, Tag

CHARACTERS: Final = Tag("Characters", "Make a character and hear its opening.")
_operation = partial(Operation, scope="turns", tag=CHARACTERS)

X_CHARACTER_ID: Final = Header("X-Character-Id", "The new character.", UUID)

OPERATIONS: Final = (
    _operation(
        method="POST",
        path="/characters",
        endpoint=routes.post_character,
        name="createCharacter",
        summary="Make a character and hear its opening",
        about="With `Accept: text/event-stream` the opening is streamed. Where the opening fails "
        "the character stays; the problem then carries its `character_id`.",
        parameters=(
            IDEMPOTENCY_KEY,
            USER_ID,
            Parameter("Accept", "header", "`text/event-stream` streams the opening."),
        ),
        request=Body(
            schemas.CharacterIn,
            {"name": "Maren Ashdown", "race": "Human", "class_name": "Ranger"},
        ),
        answers=(
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
        ),
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
        errors=(errors.Forbidden, errors.JourneyLogError, errors.JourneyLogTimeout),
    ),
    _operation(
        method="GET",
        path="/characters/{character_id}",
        endpoint=routes.get_character,
        name="getCharacter",
        summary="One character with its context",
        parameters=(CHARACTER_ID, USER_ID),
        answers=(Answer(200, "The character.", json=schemas.CharacterSheet),),
        errors=(
            errors.ValidationError,
            errors.Forbidden,
            errors.CharacterNotFound,
            errors.JourneyLogError,
            errors.JourneyLogTimeout,
            errors.Overloaded,
        ),
    ),
)
