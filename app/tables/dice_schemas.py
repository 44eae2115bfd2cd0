"""Rolls as events of a table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from app.core.fields import Time


class RollView(TypedDict):
    """A roll that a player has reported."""

    roll_type: str
    dice: str
    result: int
    modifier: int
    reported: bool


class DieView(TypedDict):
    index: Annotated[int, Field(description="Its place in the sequence of the seed.")]
    sides: int
    value: int
    kept: bool


class DiceEvent(TypedDict):
    """A roll that the service has made; seed and notation are all that is needed to roll it again."""

    type: Literal["dice"]
    timestamp: Time
    id: int
    session_id: int
    sender_name: str
    content: str
    roll_type: str
    index: Annotated[int, Field(description="Its number at the table, from 1.")]
    notation: str
    seed: str
    dice: list[DieView]
    modifier: int
    total: int
