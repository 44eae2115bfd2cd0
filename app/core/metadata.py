"""Types of the fields of `metadata` events."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.core.fields import Time, Uuid

Phase = Literal[
    "queued",
    "start",
    "context",
    "policy",
    "narrative",
    "retelling",
    "validation",
    "awaiting_commit",
    "approval",
    "writes",
    "settling",
    "live",
]


class Bounded(TypedDict):
    """An event whose texts are cut where it would be too long."""

    truncated: NotRequired[
        Annotated[Literal[True], Field(description="Texts or lists in it are cut.")]
    ]


class Rolled(TypedDict):
    eligible: bool
    passed: bool


class Rolls(TypedDict):
    """The rolls of the policy."""

    quest: Rolled
    poi: Rolled


class DeedView(TypedDict):
    """The action of a player in a round."""

    player_name: str
    user_action: str
    played: Annotated[bool, Field(description="The player is away; the model decides.")]


class BudgetWarning(TypedDict):
    """A budget that is nearly used."""

    of: Annotated[
        Literal["user", "table"],
        Field(description="user: of the user and the day; table: of all turns of the table"),
    ]
    unit: Annotated[
        Literal["tokens", "micros"], Field(description="micros: millionths of a US dollar")
    ]
    used: int
    limit: int


class MetadataFields(Bounded):
    """Fields that some phases add to a metadata event."""

    turn_id: NotRequired[Annotated[Uuid, Field(description="start")]]
    character_id: NotRequired[Annotated[Uuid, Field(description="start")]]
    user_action: NotRequired[
        Annotated[str | None, Field(description="start; null for an opening without a wish")]
    ]
    conversation_id: NotRequired[Annotated[str, Field(description="start, of a chat message")]]
    content_type: NotRequired[Annotated[str, Field(description="start, of content: what it is")]]
    speaker: NotRequired[
        Annotated[
            str, Field(description="start, of a chat message: who answers; empty: the co-host")
        ]
    ]
    player_name: NotRequired[Annotated[str, Field(description="start, at a table: who acts")]]
    occasion: NotRequired[
        Annotated[
            Literal["start", "action", "roll", "round"],
            Field(description="start, at a table: what the turn narrates"),
        ]
    ]
    round: NotRequired[Annotated[int, Field(description="start, of a round: its number, from 1")]]
    deeds: NotRequired[Annotated[list[DeedView], Field(description="start, of a round")]]
    budget_warnings: NotRequired[
        Annotated[
            list[BudgetWarning],
            Field(description="start: budgets of which 80 % or more were used before the turn"),
        ]
    ]
    references: NotRequired[
        Annotated[list[Uuid], Field(description="context: content in the prompt")]
    ]
    quest: NotRequired[Annotated[Rolled, Field(description="policy")]]
    poi: NotRequired[Annotated[Rolled, Field(description="policy")]]
    position: NotRequired[Annotated[int, Field(description="queued: place in the queue, from 1")]]
    subsystem: NotRequired[
        Annotated[str, Field(description="settling: the write whose fate is being read back")]
    ]
    until: NotRequired[
        Annotated[
            Time,
            Field(
                description="settling; approval: then it is approved by itself; "
                "awaiting_commit: then it is cancelled by itself"
            ),
        ]
    ]
    telling: NotRequired[
        Annotated[int, Field(description="approval: which narration of the turn waits, from 1")]
    ]
    error_type: NotRequired[
        Annotated[
            str,
            Field(
                description="retelling: why the new generation has failed; the earlier one follows"
            ),
        ]
    ]
