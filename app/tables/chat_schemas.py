"""Requests and answers of `POST /api/chat`, in the words of an older streaming dungeon master."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from app.core.fields import Time
from app.core.writes import MAX_ACTION
from app.tables.service import MAX_NAME
from app.web.bodies import VISIBLE, InheritedBody, References

DEFAULT_SESSION: Final = "default-session"
InputType = Literal["CHAT", "NEW_CAMPAIGN", "BLANK_CAMPAIGN", "CONTEXT"]


class PlayerCharacterIn(InheritedBody):
    """The acting character. The journey that is written is that of the character at the player's seat."""

    character_id: Annotated[str, Field(max_length=255)] | None = None
    character_name: Annotated[str, Field(max_length=MAX_NAME)] | None = None


class CampaignChatIn(InheritedBody):
    """Body of `POST /api/chat`. Unknown fields are ignored, and so are `input_type` and `metadata`, as they
    were."""

    message: Annotated[str, Field(min_length=1, max_length=MAX_ACTION), VISIBLE]
    session_id: Annotated[str, Field(max_length=255)] = Field(
        DEFAULT_SESSION, description="The session; without one, the caller's own of this name."
    )
    input_type: InputType = "CHAT"
    metadata: dict[str, Any] | None = None
    player_character: PlayerCharacterIn | None = None
    references: References = None


class StructuredGameData(TypedDict):
    """`answer`: the answer to the player; without one, the narrative. `status`: `collected` where the
    action waits for a round to be played, `awaiting_commit` where it does not count yet."""

    narrative: str
    answer: str
    turn: str
    status: Literal["", "collected", "awaiting_commit"]
    characters: str
    player_options: list[str]
    environmental_conditions: str
    immediate_threats: str
    story_progression: str


class ExecutionDetails(TypedDict):
    agent_name: str
    execution_time: Annotated[float, Field(description="Seconds.")]
    tokens_used: int
    model_name: str


class MachineResponse(TypedDict):
    message_id: Annotated[str | None, Field(description="The turn.")]
    timestamp: Time
    session_id: str
    message_type: Literal["MACHINE_RESPONSE"]
    agent_name: str
    agent_type: Literal["DUNGEON_MASTER"]
    structured_data: StructuredGameData
    execution_details: ExecutionDetails | None
    thinking_details: None
    conversation_context: None


class CampaignChatAnswer(TypedDict):
    """The Dungeon Master's answer to a chat message."""

    success: Literal[True]
    message: MachineResponse
    conversation_context: None
