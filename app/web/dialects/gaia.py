"""The dialect of an older streaming dungeon master's clients: chunks in phases, for one campaign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from app.core.events import TERMINAL_TYPES, Entry
from app.web.dialects.dialect import NO_HEADERS, Dialect, Message, Messages
from app.web.dialects.encoded import encoded, event_of
from app.web.dialects.rpg import POSTED

_CHUNKS: Final = {"narrative": "narrative_chunk", "player_response": "player_response_chunk"}


_SCENE_TEXTS: Final = ("environmental_conditions", "immediate_threats", "story_progression")
_CLOSING: Final = TERMINAL_TYPES | {"player_options", "scene"}


class GaiaState(NamedTuple):
    """`open`: the phases whose last chunk is still to come. `turn`: grows with every turn, from the number
    that the connection began with. `opening`: it is the first scene. `parts`: its text so far, the
    newest first, each with its field and those before it. `shown`: what it has beside its prose."""

    campaign_id: str
    turn: int = 0
    open: tuple[str, ...] = ()
    opening: bool = False
    parts: tuple[Any, str, str] | None = None
    shown: tuple[tuple[str, Any], ...] = ()

    def text(self, field: str) -> str:
        """Its text so far."""
        texts, rest = [], self.parts
        while rest is not None:
            rest, name, text = rest
            if name == field:
                texts.append(text)
        return "".join(reversed(texts))


class Gaia:
    name = "gaia"
    identity = False
    retry = False
    done = False
    ids = True
    headers = NO_HEADERS

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> GaiaState:
        first = int(parameters.get("turn_number", 0))
        campaign = parameters.get("campaign_id") or parameters.get("character_id") or turn_id
        return GaiaState(str(campaign), first)

    def fold(self, state: GaiaState, entry: Entry) -> tuple[GaiaState, Messages]:
        seq, kind, data = entry
        if kind == POSTED:
            return state, (Message(data),)
        event = event_of(data)
        if kind in ("token", "draft"):
            return _token(state, event, seq)
        again = kind == "metadata" and event.get("phase") == "retelling"
        after = _begun(state, kind, event)
        found = [_message(after, event, fields, 0) for fields in _converted(after, kind, event)]
        if kind not in _CLOSING and not again:
            return after, _numbered(found, seq)
        closing = [_last(state, event, phase) for phase in state.open]
        if kind in TERMINAL_TYPES:  # nobody asks for its text any more
            after = after._replace(parts=None, shown=())
        return after._replace(open=()), _numbered([*closing, *found], seq)

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
    text = str(event.get("content") or "")
    chunk = {"type": _CHUNKS[phase], "content": text, "is_final": False}
    after = state._replace(open=(phase,), parts=(state.parts, phase, text))
    return after, [*closing, _message(state, event, chunk, seq)]


def _begun(state: GaiaState, kind: str, event: dict[str, Any]) -> GaiaState:
    """The state with what the event adds to the turn."""
    match kind, event.get("phase"):
        case "metadata", "start":
            opening = event.get("occasion") == "start"
            return GaiaState(state.campaign_id, state.turn + 1, state.open, opening)
        case "metadata", "retelling":
            return state._replace(parts=None, shown=())
        case "player_options", _:
            return state._replace(shown=(*state.shown, ("player_options", event["player_options"])))
        case "scene", _:
            return state._replace(shown=(*state.shown, *_scene_texts(event["scene"])))
        case _:
            return state


def _converted(state: GaiaState, kind: str, event: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages for one event, in the older clients' form and order."""
    numbered = {"session_id": state.campaign_id, "turn_number": state.turn}
    match kind:
        case "metadata" if event.get("phase") == "start":
            started = [{"type": "room.campaign_started"}] if state.opening else []
            return [*started, {"type": "turn_started", **numbered}, _input(event, numbered)]
        case "error" | "cancelled":
            words = event.get("message") or "The turn was cancelled."
            failed = [{"type": "initialization_error", "error": words}] if state.opening else []
            return [*failed, {"type": "turn_error", "error": words, **numbered}]
        case "complete":
            updated = {"type": "campaign_updated", "structured_data": _structured(state)}
            return [{"type": "turn_complete", **numbered}, updated]
        case "message" | "dice":
            return [_said({"message_type": "player", "private": False, **event}, state.turn)]
        case "room":
            return _room(event)
        case _:
            found = _single(kind, event)
            return [] if found is None else [found]


def _input(event: dict[str, Any], numbered: dict[str, Any]) -> dict[str, Any]:
    words, name = event.get("user_action") or "", event.get("player_name") or ""
    player = {"character_name": name, "text": words} if words else None
    return {
        "type": "input_received",
        **numbered,
        "input_text": words,
        "active_player_input": player,
        "dm_input": None,
    }


def _structured(state: GaiaState) -> dict[str, Any]:
    return _data(state.text("narrative"), state.text("player_response"), state.shown)


def _data(narrative: str, answer: str, shown: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {"narrative": narrative, "answer": answer or narrative, **dict(shown)}


def _scene_texts(scene: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, scene.get(name) or "") for name in _SCENE_TEXTS]


def structured_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The `structured_data` of a turn from its result, as `campaign_updated` had it; empty for none."""
    if not (narrative := result.get("narrative")):
        return {}
    options, scene = result.get("player_options"), result.get("scene")
    shown = [("player_options", options)] if options else []
    shown += _scene_texts(scene) if scene else []
    return _data(narrative, result.get("player_response") or "", shown)


def _room(event: dict[str, Any]) -> list[dict[str, Any]]:
    kind, seat = f"room.{event['event']}", event.get("seat")
    if seat is None:
        return [{"type": kind}]
    number, there = seat["user_id"], seat["present"]
    if kind == "room.seat_character_updated":
        return [{"type": kind, "seat_id": number, "character_id": seat["character_id"]}]
    shown = {
        "seat_id": number,
        "seat_type": seat["role"],
        "owner_user_id": number if there else None,
        "character_id": seat["character_id"],
        "character_name": seat["player_name"],
    }
    updated = {"type": "room.seat_updated", "seat": shown}
    if kind == "room.seat_updated":
        return [updated]
    return [updated, {"type": kind, "seat_id": number, "user_id": number}]


def _single(kind: str, event: dict[str, Any]) -> dict[str, Any] | None:
    match kind:
        case "player_options":
            return {"type": "player_options", "options": event["player_options"]}
        case "scene":
            notes = {"dm_notes": event["dm_notes"]} if event.get("dm_notes") else {}
            return {"type": "metadata_update", "metadata": {**event["scene"], **notes}}
        case "ping":
            return {"type": "heartbeat"}
        case "presence" if event["present"]:
            return {"type": "player_connected", "player_name": event["player_name"]}
        case _:
            return None


def _said(event: dict[str, Any], turn: int) -> dict[str, Any]:
    """An input is of the turn that comes, anything else of the one that runs or has ended."""
    kinds = {"player": "turn_input", "dm": "final", "system": "system"}
    role = "player" if "roll" in event else event["message_type"]
    kind = "private" if event["private"] else kinds[role]
    return {
        "type": "turn_message",
        "message_id": f"{event['id']}-{event['part']}" if "part" in event else str(event["id"]),
        "turn_number": turn + (kind == "turn_input"),
        "response_index": 0 if kind == "turn_input" else 1,
        "response_type": kind,
        "role": role,
        "content": event["content"],
        "character_name": event["sender_name"],
        "has_audio": False,
    }
