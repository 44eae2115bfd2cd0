"""The messages that sockets of tables send, in the words of older services."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from app.core.fields import Time


class RpgSystem(TypedDict):
    type: Literal["system"]
    content: str


class RpgSaid(TypedDict):
    type: Literal["message"]
    sender: str
    content: str
    message_type: Literal["player", "dm"]


class RpgStream(TypedDict):
    type: Literal["stream"]
    sender: str
    content: str


class RpgStreamEnd(TypedDict):
    type: Literal["stream_end"]
    sender: str
    full_content: str


class RpgTokens(TypedDict):
    """To the one who acted."""

    type: Literal["token_usage"]
    used: int
    limit: int
    remaining: int


class RpgError(TypedDict):
    """To the one who acted."""

    type: Literal["error"]
    content: str


class RpgAnswer(TypedDict):
    """To the one who asked."""

    type: Literal["answer"]
    question: str
    content: str


class RpgPong(TypedDict):
    type: Literal["pong"]


RpgMessage = TypeAliasType(
    "RpgMessage",
    Annotated[
        RpgSystem | RpgSaid | RpgStream | RpgStreamEnd | RpgTokens | RpgError | RpgAnswer | RpgPong,
        Field(discriminator="type"),
    ],
)


class _OfCampaign(TypedDict):
    campaign_id: str
    timestamp: Time


class GaiaChunk(_OfCampaign):
    """A piece of a phase; the last one is empty and final."""

    type: Literal["narrative_chunk", "player_response_chunk"]
    content: str
    is_final: bool


class GaiaOptions(_OfCampaign):
    type: Literal["player_options"]
    options: list[str]


class GaiaMetadata(_OfCampaign):
    """The scene; with `dm_notes` for the dungeon master."""

    type: Literal["metadata_update"]
    metadata: dict[str, Any]


class GaiaSaid(_OfCampaign):
    """Something that was said beside the turns."""

    type: Literal["turn_message"]
    message_id: str
    turn_number: Annotated[
        int,
        Field(
            description="Grows with the turns of a connection, and over those of one client; 0: none."
        ),
    ]
    response_index: int
    response_type: Literal["turn_input", "final", "system", "private"]
    role: str
    content: str
    character_name: str
    has_audio: bool


class _Numbered(_OfCampaign):
    session_id: str
    turn_number: int


class GaiaTurn(_Numbered):
    type: Literal["turn_started", "turn_complete"]


class GaiaInput(_Numbered):
    """The input that a beginning turn answers."""

    type: Literal["input_received"]
    input_text: str
    active_player_input: dict[str, Any] | None
    dm_input: None


class GaiaError(_OfCampaign):
    """A turn that has failed or was cancelled, or, without a number, a message that was refused."""

    type: Literal["turn_error"]
    session_id: str
    turn_number: NotRequired[int]
    error: str


class GaiaNotBegun(_OfCampaign):
    """The opening has failed."""

    type: Literal["initialization_error"]
    error: str


class GaiaCampaign(_OfCampaign):
    """active: the story so far and the newest turn, for whoever comes late; updated: the turn that has
    ended."""

    type: Literal["campaign_active", "campaign_updated"]
    structured_data: dict[str, Any]


class GaiaConnection(_OfCampaign):
    type: Literal["connection_registered"]
    connection_id: str
    connection_token: str


class GaiaPlayer(_OfCampaign):
    type: Literal["player_connected"]
    player_name: str


class GaiaRoom(_OfCampaign):
    type: Literal["heartbeat", "room.dm_joined", "room.dm_left", "room.campaign_started"]


class GaiaSeat(_OfCampaign):
    type: Literal["room.seat_updated"]
    seat: dict[str, Any]


class GaiaCharacter(_OfCampaign):
    type: Literal["room.seat_character_updated"]
    seat_id: str
    character_id: str | None


class GaiaVacated(_OfCampaign):
    """A member was removed."""

    type: Literal["room.player_vacated"]
    seat_id: str
    user_id: str


GaiaMessage = TypeAliasType(
    "GaiaMessage",
    Annotated[
        GaiaChunk
        | GaiaOptions
        | GaiaMetadata
        | GaiaSaid
        | GaiaTurn
        | GaiaInput
        | GaiaError
        | GaiaNotBegun
        | GaiaCampaign
        | GaiaConnection
        | GaiaPlayer
        | GaiaRoom
        | GaiaSeat
        | GaiaCharacter
        | GaiaVacated,
        Field(discriminator="type"),
    ],
)
