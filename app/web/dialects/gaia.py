"""What the clients of an older streaming dungeon master speak: chunks in phases, for one campaign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from app.core.events import TERMINAL_TYPES, Entry
from app.web.dialects.dialect import NO_HEADERS, Dialect, Message, Messages
from app.web.dialects.encoded import encoded, event_of
from app.web.dialects.rpg import POSTED

_CHUNKS: Final = {"narrative": "narrative_chunk", "player_response": "player_response_chunk"}


_CLOSING: Final = TERMINAL_TYPES | {"player_options", "scene"}


class GaiaState(NamedTuple):
    """`open`: the phases whose last chunk is still to come."""

    campaign_id: str
    open: tuple[str, ...] = ()


class Gaia:
    name = "gaia"
    identity = False
    retry = False
    done = False
    ids = True
    headers = NO_HEADERS

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> GaiaState:
        return GaiaState(str(parameters.get("campaign_id", turn_id)))

    def fold(self, state: GaiaState, entry: Entry) -> tuple[GaiaState, Messages]:
        seq, kind, data = entry
        if kind == POSTED:
            return state, (Message(data),)
        event = event_of(data)
        if kind in ("token", "draft"):
            return _token(state, event, seq)
        found = _converted(kind, event)
        again = kind == "metadata" and event.get("phase") == "retelling"
        if kind not in _CLOSING and not again:
            return state, () if found is None else (_message(state, event, found, seq),)
        closing = [_last(state, event, phase) for phase in state.open]
        told = [] if found is None else [_message(state, event, found, 0)]
        return state._replace(open=()), _numbered([*closing, *told], seq)

    def token(self, state: GaiaState, data: bytes) -> None:
        """Each has to be folded."""

    def ended(self, state: GaiaState) -> bool:
        return False

    def cut(self, state: GaiaState) -> Messages:
        return ()


GAIA: Final[Dialect[GaiaState]] = Gaia()


def _message(state: GaiaState, event: dict[str, Any], fields: dict[str, Any], seq: int) -> Message:
    kind = fields.pop("type")
    common = {
        "type": kind,
        "campaign_id": state.campaign_id,
        "timestamp": event.get("timestamp"),
    }
    return Message(encoded(common | fields), seq)


def _numbered(messages: list[Message], seq: int) -> Messages:
    return [*messages[:-1], messages[-1]._replace(seq=seq)] if messages else ()


def _last(state: GaiaState, event: dict[str, Any], phase: str) -> Message:
    return _message(state, event, {"type": _CHUNKS[phase], "content": "", "is_final": True}, 0)


def _token(state: GaiaState, event: dict[str, Any], seq: int) -> tuple[GaiaState, Messages]:
    phase = "player_response" if event.get("field") == "player_response" else "narrative"
    closing = [_last(state, event, one) for one in state.open if one != phase]
    chunk = {"type": _CHUNKS[phase], "content": event.get("content") or "", "is_final": False}
    return state._replace(open=(phase,)), [*closing, _message(state, event, chunk, seq)]


def _converted(kind: str, event: dict[str, Any]) -> dict[str, Any] | None:
    match kind:
        case "player_options":
            return {"type": "player_options", "options": event["player_options"]}
        case "scene":
            notes = {"dm_notes": event["dm_notes"]} if event.get("dm_notes") else {}
            return {"type": "metadata_update", "metadata": {**event["scene"], **notes}}
        case "error":
            return {"type": "turn_error", "error": event["message"]}
        case "ping":
            return {"type": "heartbeat"}
        case "presence" if event["present"]:
            return {"type": "player_connected", "player_name": event["player_name"]}
        case "room":
            return {"type": f"room.{event['event']}"}
        case "message" | "dice":
            return _said({"message_type": "system", "private": False, **event})
        case _:
            return None


def _said(event: dict[str, Any]) -> dict[str, Any]:
    kinds = {"player": "turn_input", "dm": "final", "system": "system"}
    kind = "private" if event["private"] else kinds[event["message_type"]]
    return {
        "type": "turn_message",
        "message_id": str(event["id"]),
        "response_type": kind,
        "role": event["message_type"],
        "content": event["content"],
        "character_name": event["sender_name"],
        "has_audio": False,
    }
