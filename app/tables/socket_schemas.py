"""The messages that clients send over the sockets of tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.core.writes import MAX_ACTION
from app.tables.schemas import Name, XCardIn
from app.web.bodies import InheritedBody, References


class ActivePlayerIn(InheritedBody):
    """The acting player and the action."""

    text: Annotated[str, Field(max_length=MAX_ACTION)] | None = None


class _SaidOnSocket(XCardIn, InheritedBody):
    """Fields that nobody knows are ignored, as the older services did."""

    references: References = None
    shared: bool = Field(False, description="Everybody sees the question and its answer.")


class CampaignSocketIn(_SaidOnSocket):
    """A message to `WS /ws/campaign/player` or `/ws/campaign/dm`: `auth` first, then `submit_turn`,
    `ask`, `commit`, `retell`, `x_card` or `heartbeat`. Other messages are ignored."""

    type: Annotated[str, Field(max_length=60)]
    token: Annotated[str, Field(max_length=20_000)] | None = None
    message: Annotated[str, Field(max_length=MAX_ACTION)] | None = None
    active_player_input: ActivePlayerIn | None = Field(
        None, description="Its `text` is the action where there is no `message`."
    )


class TableSocketIn(_SaidOnSocket):
    """A message to `WS /ws/{session_id}`; without a type it is an action."""

    type: Literal[
        "action", "roll", "dice", "message", "ask", "commit", "retell", "x_card", "ping"
    ] = Field(
        "action",
        description="roll: one that the player has made; dice: the service rolls; ask: a question out of "
        "character, answered to the one who asks; commit, retell: of a turn that awaits it; x_card: stop "
        "the turn that runs.",
    )
    sender: Name | None = None
    content: Annotated[str, Field(max_length=MAX_ACTION)] = ""
    roll_type: Annotated[str, Field(min_length=1, max_length=60)] = "check"
    dice: Annotated[str, Field(min_length=1, max_length=60)] = "1d20"
    result: Annotated[int, Field(ge=-100_000, le=100_000)] = 10
    modifier: Annotated[int, Field(ge=-1_000, le=1_000)] = 0
