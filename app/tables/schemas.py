"""Requests and answers of tables. Their shapes are those of an older table service, with more beside."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import BeforeValidator, Field, StringConstraints
from typing_extensions import TypeAliasType, TypedDict

from app.core.fields import CharacterId, Time
from app.core.money import MAX_MICROS
from app.core.questions import MAX_QUESTION
from app.core.rounds import Absent
from app.core.table_topics import is_topic
from app.core.tables import DEFAULT_DM, MessageType, Role, Topic, Topics
from app.core.wire import AnyTurnEvent
from app.core.writes import MAX_ACTION
from app.tables.approval_schemas import ApprovalSeconds
from app.tables.dice_schemas import DiceEvent, RollView
from app.tables.round_schemas import AbsentPlayers, Commit, Mode, RoundSeconds
from app.tables.service import MAX_NAME
from app.web.bodies import VISIBLE, InheritedBody, References, RequestBody

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), VISIBLE
]
Content = Annotated[str, Field(min_length=1, max_length=MAX_ACTION), VISIBLE]
Rate = Annotated[int, Field(ge=0, le=100_000, description="0: no limit.")]
Budget = Annotated[int, Field(ge=0, le=1_000_000_000, description="Tokens; 0: no limit.")]
CostBudget = Annotated[
    int, Field(ge=0, le=MAX_MICROS, description="In micro-dollars; 0: no limit.")
]
Join = Literal["invitation", "open"]


class PlayerIn(RequestBody):
    """The player who takes a seat."""

    player_name: Name | None = Field(
        None, description="Without one, the name of before, else `Player`, else the user's id."
    )
    character_id: CharacterId | None = Field(
        None,
        description="The player's character, whose journey the turns are written to. Without one a seat "
        "that was not left keeps its own.",
    )


class SessionIn(PlayerIn, InheritedBody):
    """Body of `POST /api/sessions`. Unknown fields are ignored, as they were."""

    name: Name
    dm_name: Name = DEFAULT_DM
    join: Join = "invitation"
    requests_per_minute: Rate | None = None
    token_budget: Budget | None = None
    cost_budget_micros: CostBudget | None = None
    lines: Topics = Field((), strict=False, description="Topics that never come up.")
    veils: Topics = Field((), strict=False, description="Topics that happen out of sight.")
    mode: Mode = "turns"
    round_seconds: RoundSeconds | None = None
    absent: AbsentPlayers = "skip"
    approval_seconds: ApprovalSeconds = 0
    commit: Commit = "auto"


class SessionChange(RequestBody):
    """Body of `PUT /api/sessions/{session_id}`. What is absent stays."""

    name: Name | None = None
    dm_name: Name | None = None
    is_active: bool | None = None
    join: Join | None = None
    requests_per_minute: Rate | None = None
    token_budget: Budget | None = None
    cost_budget_micros: CostBudget | None = None
    lines: Topics | None = Field(None, strict=False)
    veils: Topics | None = Field(None, strict=False)
    mode: Mode | None = None
    round_seconds: RoundSeconds | None = None
    absent: AbsentPlayers | None = None
    approval_seconds: ApprovalSeconds | None = None
    commit: Commit | None = None


class JoinIn(PlayerIn):
    """Body of `POST /api/sessions/{session_id}/join`."""

    invitation: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Its token; not needed where the session is open."
    )


class MessageIn(InheritedBody):
    """Body of `POST /api/sessions/{session_id}/messages`. Unknown fields are ignored, as they were."""

    sender_name: Name
    content: Content
    message_type: MessageType = "player"


class WhisperIn(RequestBody):
    """Body of `POST /api/sessions/{session_id}/whisper`."""

    user_id: Annotated[str, Field(min_length=1, max_length=255)]
    content: Content


class TableQuestionIn(RequestBody):
    """Body of `POST /api/sessions/{session_id}/ask`."""

    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION), VISIBLE]
    shared: bool | None = Field(None, description="True shows question and answer to everybody.")


def _blank_is_absent(topic: object) -> object:
    """An empty field of a form stops nobody who stops a turn, and neither does one that is no topic."""
    return None if isinstance(topic, str) and not is_topic(topic) else topic


class XCardIn(RequestBody):
    """Body of `POST /api/sessions/{session_id}/x_card`."""

    silent: bool | None = Field(None, description="True: it is not said who has played it.")
    topic: Annotated[Topic | None, BeforeValidator(_blank_is_absent)] = Field(
        None,
        description="Never comes up again at this table. One that is blank, or has nothing but words such "
        "as `the`, is none.",
    )


class XCardAnswer(TypedDict):
    stopped: Annotated[
        bool, Field(description="A running turn was stopped; nothing of it is kept.")
    ]


class RollIn(RequestBody):
    """Body of `POST /api/sessions/{session_id}/roll`: dice to roll, or, with a `result`, a roll that the
    player has made."""

    player_name: Name | None = None
    roll_type: Annotated[str, Field(min_length=1, max_length=60)] = "check"
    dice: Annotated[str, Field(min_length=1, max_length=60)] = Field(
        "1d20", description="As 2d20kh1+3; kh, kl, dh and dl keep or drop the highest or lowest."
    )
    result: Annotated[int, Field(ge=-100_000, le=100_000)] | None = Field(
        None, description="As it counts: no modifier is added to it."
    )
    modifier: Annotated[int, Field(ge=-1_000, le=1_000)] = Field(
        0, description="Added to dice that the service rolls."
    )
    content: Annotated[str, Field(max_length=MAX_ACTION - 500)] = ""
    references: References = None


class Session(TypedDict):
    id: int
    name: str
    dm_name: str
    created_at: Time
    is_active: bool
    owner: str
    join: Join
    requests_per_minute: int
    token_budget: int
    cost_budget_micros: int
    lines: list[str]
    veils: list[str]
    paused: bool
    mode: Mode
    round_seconds: int
    absent: Absent
    approval_seconds: int
    commit: Literal["auto", "manual"]


class SessionMessage(TypedDict):
    id: int
    session_id: int
    sender_name: str
    content: str
    message_type: MessageType
    created_at: Time


class Member(TypedDict):
    user_id: str
    player_name: str
    role: Role
    owner: bool
    you: Annotated[bool, Field(description="The caller.")]
    present: Annotated[bool, Field(description="Connected to the session's stream.")]
    character_id: str | None


class Members(TypedDict):
    members: list[Member]


class SessionAnswer(TypedDict):
    """The Dungeon Master's message."""

    message: str
    turn_id: str


class TokensLeft(TypedDict):
    used: int
    limit: Annotated[int, Field(description="0: there is no limit.")]
    remaining: int
    cost_micros: Annotated[
        int, Field(description="Millionths of a US dollar that the table has cost so far.")
    ]
    cost_limit_micros: Annotated[int, Field(description="0: there is no limit.")]
    cost_remaining_micros: int


class LineEvent(TypedDict):
    """Something said at the table."""

    type: Literal["message"]
    timestamp: Time
    id: int
    session_id: int
    sender_name: str
    content: str
    message_type: MessageType
    private: Annotated[bool, Field(description="For this reader and its author alone.")]
    roll: NotRequired[RollView]


class PresenceEvent(TypedDict):
    """A member has connected or disconnected; the event has no id."""

    type: Literal["presence"]
    timestamp: Time
    player_name: str
    present: bool


class SeatView(TypedDict):
    user_id: str
    player_name: str
    role: Role
    character_id: str | None
    present: bool


class RoomEvent(TypedDict):
    """The seat of the human dungeon master was taken or left, or that of a player has changed; without an
    id."""

    type: Literal["room"]
    timestamp: Time
    event: Literal[
        "dm_joined", "dm_left", "seat_updated", "seat_character_updated", "player_vacated"
    ]
    seat: NotRequired[Annotated[SeatView, Field(description="Of a player.")]]


TableEvent = TypeAliasType(
    "TableEvent",
    Annotated[
        LineEvent | DiceEvent | PresenceEvent | RoomEvent | AnyTurnEvent,
        Field(discriminator="type"),
    ],
)
