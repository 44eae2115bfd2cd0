"""Requests and answers of characters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints
from typing_extensions import TypedDict

from app.core.context import CombatView, Narrative, Status, World
from app.core.fields import Time, Uuid
from app.core.outcome import Intents
from app.core.writes import MAX_ACTION
from app.ports.store import TurnStatus
from app.web.bodies import VISIBLE, RequestBody

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), VISIBLE
]


_Wish = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_ACTION)]
_WISH_NAMES = AliasChoices("adventure_prompt", "custom_prompt")


class OpeningIn(RequestBody):
    """Body of `POST /characters/{character_id}/opening`."""

    adventure_prompt: _Wish | None = Field(
        None,
        validation_alias=_WISH_NAMES,
        description="How the story begins. Without it, what was wished for when the character was "
        "made.",
    )


class CharacterIn(RequestBody):
    """Body of `POST /characters`."""

    name: Name
    race: Name
    class_name: Name
    adventure_prompt: _Wish | None = Field(
        None,
        validation_alias=_WISH_NAMES,
        description="How the story begins. Without it there is a default.",
    )


class CharacterCreated(TypedDict):
    character_id: Uuid
    narrative: Annotated[str, Field(description="The opening of the story.")]


CharacterRow = TypedDict(
    "CharacterRow",
    {
        "character_id": Uuid,
        "name": str,
        "race": str,
        "class": str,
        "status": Status,
        "created_at": Time,
        "updated_at": Time,
    },
)


class Characters(TypedDict):
    characters: list[CharacterRow]
    count: int


class Whereabouts(TypedDict):
    id: str
    display_name: str
    minor_location: str | None


class QuestStep(TypedDict):
    text: str
    done: Annotated[bool, Field(description="Derived from the progress that turns have noted.")]


class Rewards(TypedDict):
    items: list[str]
    currency: dict[str, int]
    experience: int | None


class EndedQuest(TypedDict):
    name: str
    requirements: list[str]
    rewards: Rewards
    outcome: Literal["completed", "abandoned"]
    ended_at: Time


class QuestWithProgress(TypedDict):
    name: str
    description: str
    requirements: list[str]
    completion_state: str
    updated_at: str | None
    steps: Annotated[list[QuestStep], Field(description="The requirements, ticked as fulfilled.")]
    rewards: Rewards
    progress: Annotated[list[str], Field(description="What turns have noted since it was offered.")]


class ContextView(TypedDict):
    """The character's surroundings, as its next turn would see them."""

    status: Status
    location: Whereabouts
    equipment: list[str]
    inventory: list[str]
    quest: QuestWithProgress | None
    combat: CombatView
    narrative: Narrative
    world: World
    past_quests: Annotated[
        list[EndedQuest],
        Field(description="Quests that have ended, newest first; at most 20, from our own record."),
    ]
    earned: Annotated[
        Rewards,
        Field(
            description="Rewards of all completed quests together, from our own record; journey-log "
            "has no call that adds them to the inventory."
        ),
    ]


class ActiveTurn(TypedDict):
    turn_id: Uuid
    status: Literal["queued", "running"]


CharacterSheet = TypedDict(
    "CharacterSheet",
    {
        "character_id": Uuid,
        "name": str,
        "race": str,
        "class": str,
        "status": Status,
        "turns": Annotated[int, Field(description="Finished turns.")],
        "cost_micros": Annotated[
            int, Field(description="Millionths of a US dollar that it has cost its user so far.")
        ],
        "active_turn": Annotated[
            ActiveTurn | None, Field(description="The turn that runs, else the first that waits.")
        ],
        "context": ContextView,
    },
)


class PastTurn(TypedDict):
    """A turn of a character. What it does not have (yet) is null."""

    turn_id: Annotated[
        str, Field(description="Of a turn that only journey-log still has: its id there.")
    ]
    status: TurnStatus
    user_action: Annotated[
        str | None, Field(description="Null for an opening without a wish of the player.")
    ]
    narrative: Annotated[str | None, Field(description="As far as it was streamed.")]
    intents: Intents | None
    created_at: Time


class TurnPage(TypedDict):
    turns: Annotated[list[PastTurn], Field(description="Newest first.")]
    next: Annotated[
        str | None, Field(description="`before` of the next page; null where there is none.")
    ]
