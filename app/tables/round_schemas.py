"""Requests and answers of rounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from app.core.fields import Time
from app.core.rounds import Absent
from app.web.bodies import RequestBody

Mode = Annotated[
    Literal["turns", "rounds"],
    Field(description="rounds: the actions of all players are one turn."),
]
RoundSeconds = Annotated[
    int,
    Field(ge=0, le=86_400, description="How long a round waits for players; 0: no deadline."),
]
AbsentPlayers = Annotated[
    Absent,
    Field(description="Who has not acted in a round does nothing (skip), or the model plays them."),
]


Commit = Annotated[
    Literal["auto", "manual"], Field(description="manual: a turn counts once somebody commits it.")
]


class AwayIn(RequestBody):
    """Body of `POST /api/sessions/{session_id}/away`."""

    away: bool = True
    user_id: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="A player, for the owner and the dungeon master; without one, the caller."
    )


class RoundView(TypedDict):
    """The round that is collected."""

    round: Annotated[int, Field(description="Its number, from 1.")]
    acted: list[str]
    waiting: Annotated[list[str], Field(description="The players for whom it waits.")]
    away: list[str]
    until: Annotated[Time | None, Field(description="Its deadline, once somebody has acted.")]
    closed: Annotated[bool, Field(description="It is about to be played.")]
    failed: Annotated[
        bool,
        Field(
            description="Its turn has failed. It is played when somebody acts or forces it on, or at its "
            "deadline."
        ),
    ]
