"""Arguments and results of the tools."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from app.characters.schemas import CharacterIn, Characters, CharacterSheet
from app.core.encoding import dump
from app.core.fields import CharacterId, IdempotencyKey, Time, Uuid
from app.core.results import SubsystemSummary
from app.core.view import TurnError
from app.core.writes import MAX_ACTION
from app.ports.store import TurnStatus
from app.tables.dice_schemas import DieView
from app.turns.schemas import QuestionAnswer, TurnDescription
from app.web.bodies import VISIBLE, RequestBody, parse_model

Arguments = TypeVar("Arguments", bound=RequestBody)

MAX_NOTATION = 100

_Key = Annotated[
    IdempotencyKey | None,
    Field(
        description="Any text of your own, new for each action. The same call with the same key is the "
        "same turn, however often it is sent."
    ),
]


class CreateCharacterIn(CharacterIn):
    idempotency_key: _Key = None


class PlayTurnIn(RequestBody):
    character_id: CharacterId
    user_action: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_ACTION,
            description="What the player's character does or says, in the player's words.",
        ),
        VISIBLE,
    ]
    dry_run: Annotated[
        bool | None, Field(description="Tell what would happen, and write nothing down.")
    ] = None
    idempotency_key: _Key = None


class TurnRef(RequestBody):
    turn_id: Uuid


class CharacterRef(RequestBody):
    character_id: CharacterId


class Nothing(RequestBody):
    pass


class RollIn(RequestBody):
    dice: Annotated[
        str,
        Field(max_length=MAX_NOTATION, description="As in 2d20kh1+3, 3d6 or d%."),
    ]


class TurnShown(TypedDict):
    """A turn as it stands. What it does not have (yet) is null."""

    turn_id: Uuid
    character_id: Uuid | None
    created_at: Time
    status: TurnStatus
    phase: str | None
    narrative: Annotated[str | None, Field(description="The narrative so far.")]
    subsystem_summary: Annotated[
        SubsystemSummary | None, Field(description="What of it was written down.")
    ]
    error: TurnError | None


class RollResult(TypedDict):
    """Notation and seed are all that is needed to roll it again."""

    notation: str
    seed: str
    dice: list[DieView]
    modifier: int
    total: int


def read_arguments(given: dict[str, Any] | None, model: type[Arguments]) -> Arguments:
    """Raises `ValidationError` that names the fields."""
    return parse_model(dump(given or {}), model)


def turn_shown(turn: TurnDescription) -> TurnShown:
    """The part of a turn that an assistant needs."""
    return TurnShown(
        turn_id=turn["turn_id"],
        character_id=turn["character_id"],
        created_at=turn["created_at"],
        status=turn["status"],
        phase=turn["phase"],
        narrative=turn["narrative"],
        subsystem_summary=turn["subsystem_summary"],
        error=turn["error"],
    )


def as_json(data: Any, answer: TypeAdapter[Any]) -> dict[str, Any]:
    """A result as its schema describes it."""
    shown: dict[str, Any] = answer.dump_python(data, mode="json", warnings=False)
    return shown


TURN: Final[TypeAdapter[Any]] = TypeAdapter(TurnShown)
CHARACTER: Final[TypeAdapter[Any]] = TypeAdapter(CharacterSheet)
CHARACTERS: Final[TypeAdapter[Any]] = TypeAdapter(Characters)
ANSWER: Final[TypeAdapter[Any]] = TypeAdapter(QuestionAnswer)
ROLL: Final[TypeAdapter[Any]] = TypeAdapter(RollResult)
