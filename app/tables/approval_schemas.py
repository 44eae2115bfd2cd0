"""Requests and answers about narrations that have to be approved."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.core.fields import Time, Uuid
from app.core.table_outcome import LEAST_OPTIONS, MAX_OPTION, MOST_OPTIONS
from app.tables.narration import MAX_ANSWER
from app.web.bodies import VISIBLE, RequestBody

ApprovalSeconds = Annotated[
    int,
    Field(
        ge=0,
        le=3_600,
        description="How long the dungeon master has for approving an outcome; 0: nobody has to.",
    ),
]
Prose = Annotated[str, Field(min_length=1, max_length=MAX_ANSWER), VISIBLE]
Option = Annotated[str, Field(min_length=1, max_length=MAX_OPTION), VISIBLE]


class ApprovalIn(RequestBody):
    """Body of `POST /api/sessions/{session_id}/approval`. What is absent stays as the model wrote it."""

    decision: Literal["approve", "veto", "retell"] = "approve"
    turn_id: Uuid | None = Field(None, description="Of the narration that is meant.")
    telling: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Which narration of the turn is meant: where it was retold since, 409."
    )
    narrative: Prose | None = None
    player_response: Annotated[str, Field(max_length=MAX_ANSWER)] | None = None
    player_options: (
        Annotated[tuple[Option, ...], Field(min_length=LEAST_OPTIONS, max_length=MOST_OPTIONS)]
        | None
    ) = Field(None, strict=False)
    guidance: Annotated[str, Field(max_length=1_000)] | None = Field(
        None, description="For a retelling: what should be different."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        edited = [self.narrative, self.player_response, self.player_options]
        if self.decision != "approve" and any(one is not None for one in edited):
            raise ValueError("only what is approved can be edited")
        if self.decision != "retell" and self.guidance is not None:
            raise ValueError("guidance is for a retelling")
        return self


class ApprovalView(TypedDict):
    """A narration that waits for approval."""

    turn_id: str
    telling: Annotated[int, Field(description="Which narration of the turn it is, from 1.")]
    until: Annotated[Time, Field(description="Then it is approved by itself.")]
    narrative: str
    player_response: str | None
    player_options: list[str]
    scene: Annotated[dict[str, object] | None, Field(description="With `dm_notes`.")]
    roll_conflicts: Annotated[
        list[str], Field(description="How it contradicts the rolls that it was given.")
    ]


class ApprovalAnswer(TypedDict):
    turn_id: str
    decision: Literal["approve", "veto", "retell"]
