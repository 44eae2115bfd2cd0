"""Two older services' wire contracts line by line: each path, field and message has its place in the
descriptions of this one. What is sent is the other tests' to show."""

from __future__ import annotations

from typing import Any, Final

import pytest
from app.tables.messages import GaiaMessage, RpgMessage
from app.tables.socket_schemas import CampaignSocketIn, TableSocketIn
from pydantic import BaseModel, TypeAdapter

from descriptions import DOCUMENTS

PATHS: Final[dict[str, set[str]]] = {
    "post /api/sessions": {"name", "dm_name"},
    "get /api/sessions": set(),
    "get /api/sessions/{session_id}": set(),
    "get /api/sessions/{session_id}/messages": {"limit"},
    "post /api/sessions/{session_id}/messages": {"sender_name", "content", "message_type"},
    "post /api/sessions/{session_id}/start": set(),
    "post /api/sessions/{session_id}/action": {"player_name", "action"},
    "get /api/sessions/{session_id}/tokens": set(),
    "get /health": set(),
    "get /ready": set(),
    "get /live": set(),
    "post /api/chat": {"message", "session_id", "input_type", "metadata", "player_character"},
}
ANSWERS: Final[dict[str, set[str]]] = {
    "get /api/sessions/{session_id}": {"id", "name", "dm_name", "created_at", "is_active"},
    "post /api/sessions/{session_id}/messages": {
        "id",
        "session_id",
        "sender_name",
        "content",
        "message_type",
        "created_at",
    },
    "post /api/sessions/{session_id}/start": {"message"},
    "post /api/sessions/{session_id}/action": {"message"},
    "get /api/sessions/{session_id}/tokens": {"used", "limit", "remaining"},
    "get /health": {"status", "timestamp", "version", "checks"},
    "get /ready": {"status", "timestamp"},
    "get /live": {"status", "timestamp"},
    "post /api/chat": {"success", "message", "conversation_context"},
}
SENT: Final[list[tuple[Any, str, set[str]]]] = [
    (RpgMessage, "system", {"content"}),
    (RpgMessage, "message", {"sender", "content", "message_type"}),
    (RpgMessage, "stream", {"sender", "content"}),
    (RpgMessage, "stream_end", {"sender", "full_content"}),
    (RpgMessage, "token_usage", {"used", "limit", "remaining"}),
    (RpgMessage, "error", {"content"}),
    (GaiaMessage, "narrative_chunk", {"content", "is_final"}),
    (GaiaMessage, "player_response_chunk", {"content", "is_final"}),
    (GaiaMessage, "player_options", {"options"}),
    (GaiaMessage, "metadata_update", {"metadata"}),
    (GaiaMessage, "campaign_active", {"structured_data"}),
    (GaiaMessage, "campaign_updated", {"structured_data"}),
    (GaiaMessage, "connection_registered", {"connection_id", "connection_token"}),
    (GaiaMessage, "player_connected", set()),
    (GaiaMessage, "heartbeat", set()),
    (GaiaMessage, "initialization_error", {"error"}),
    (GaiaMessage, "room.seat_updated", {"seat"}),
    (GaiaMessage, "room.seat_character_updated", {"seat_id", "character_id"}),
    (GaiaMessage, "room.campaign_started", set()),
    (GaiaMessage, "room.player_vacated", {"seat_id"}),
    (GaiaMessage, "room.dm_joined", set()),
    (GaiaMessage, "room.dm_left", set()),
    (GaiaMessage, "turn_started", {"session_id", "turn_number"}),
    (GaiaMessage, "input_received", {"session_id", "turn_number", "input_text"}),
    (
        GaiaMessage,
        "turn_message",
        {
            "message_id",
            "turn_number",
            "response_index",
            "response_type",
            "role",
            "content",
            "character_name",
            "has_audio",
        },
    ),
    (GaiaMessage, "turn_complete", {"session_id", "turn_number"}),
    (GaiaMessage, "turn_error", {"error"}),
]
"""Not here, since nothing here does what they are about: `audio_*`, and `campaign_loaded`, for there is
nothing to load."""
TAKEN: Final[list[tuple[type[BaseModel], set[str]]]] = [
    (TableSocketIn, {"type", "sender", "content", "roll_type", "result", "dice", "modifier"}),
    (CampaignSocketIn, {"type", "token", "message", "active_player_input"}),
]


def schema_of(found: dict[str, Any]) -> dict[str, Any]:
    """With the parts of every alternative."""
    while "$ref" in found:
        found = DOCUMENTS.openapi["components"]["schemas"][found["$ref"].rpartition("/")[2]]
    parts = [schema_of(one) for one in found.get("anyOf", [])]
    properties = {
        name: it for one in [found, *parts] for name, it in one.get("properties", {}).items()
    }
    return {**found, "properties": properties}


def operation(key: str) -> dict[str, Any]:
    method, _, path = key.partition(" ")
    found = DOCUMENTS.openapi["paths"][path][method]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("key", PATHS)
def test_path_accepts_requests_of_the_older_clients(key: str) -> None:
    described = operation(key)
    names = {one.get("name") for one in described.get("parameters", [])}
    for content in described.get("requestBody", {}).get("content", {}).values():
        names |= schema_of(content["schema"])["properties"].keys()
    assert PATHS[key] <= names


@pytest.mark.parametrize("key", ANSWERS)
def test_path_gives_answers_for_the_older_clients(key: str) -> None:
    content = operation(key)["responses"]["200"]["content"]["application/json"]
    assert ANSWERS[key] <= schema_of(content["schema"])["properties"].keys()


@pytest.mark.parametrize(("messages", "kind", "fields"), SENT, ids=[kind for _, kind, _ in SENT])
def test_socket_sends_messages_for_the_older_clients(
    messages: Any, kind: str, fields: set[str]
) -> None:
    every = TypeAdapter(messages).json_schema()["$defs"].values()
    (found,) = [
        one["properties"]
        for one in every
        if kind
        in (one["properties"]["type"].get("const"), *one["properties"]["type"].get("enum", ()))
    ]
    assert fields <= found.keys()
    if messages is GaiaMessage:
        assert {"campaign_id", "timestamp"} <= found.keys()


@pytest.mark.parametrize(("model", "fields"), TAKEN)
def test_socket_accepts_messages_of_the_older_clients(
    model: type[BaseModel], fields: set[str]
) -> None:
    assert fields <= model.model_fields.keys()
