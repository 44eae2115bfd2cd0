"""The WebSocket and the event streams as AsyncAPI 3.0, from the server's point of view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from app import __version__
from app.web.openapi.parts import EXAMPLE_TURN, PARAMETERS
from app.web.openapi.play import TURN_EXAMPLE
from app.web.openapi.schemas import Json, component_schemas, ref

HEARD: Final[dict[str, tuple[str, Json]]] = {
    "TurnIn": ("Begin a turn", TURN_EXAMPLE),
    "ResumeMessage": ("Go on reading", {"type": "resume", "turn_id": EXAMPLE_TURN, "after": 4}),
    "CancelMessage": ("Stop the turn", {"type": "cancel"}),
}
INFO: Final = """\
One JSON object per message. After the first message (a `TurnIn` or a `ResumeMessage`) the events of
the turn come in order, up to exactly one terminal event: `complete`, `error` or `cancelled`. Then
another turn may follow on the same socket. Leaving does not stop a turn; a `CancelMessage` does,
until the model's answer is validated. A message that cannot be accepted is answered by an `error`
event with `phase: request`, and ends nothing. Clients must ignore event types they do not know."""


def asyncapi() -> Json:
    schemas = component_schemas()
    told = [name.rpartition("/")[2] for name in _refs(schemas["TurnEvent"]["oneOf"])]
    messages = [*HEARD, *told]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Dungeon Master", "version": __version__, "description": INFO},
        "defaultContentType": "application/json",
        "channels": {
            "turnSocket": _socket(messages),
            "turnEvents": _events(told),
        },
        "operations": {
            "hear": _operation("receive", "turnSocket", HEARD, "What a client says."),
            "tell": _operation("send", "turnSocket", told, "The events of the turn."),
            "replay": _operation("send", "turnEvents", told, "The same events, over HTTP."),
        },
        "components": {
            "messages": {name: _message(name, schemas[name]) for name in messages},
            "schemas": _reachable(messages, schemas),
        },
    }


def _socket(messages: list[str]) -> Json:
    names = ("RequestId", "TraceId", "TraceParent", "UserId")
    headers = {PARAMETERS[name]["name"]: PARAMETERS[name]["schema"] for name in names}
    binding = {"method": "GET", "headers": {"type": "object", "properties": headers}}
    return {
        "address": "/turn/ws",
        "title": "Turns over a WebSocket",
        "messages": _message_refs(messages),
        "bindings": {"ws": binding},
    }


def _events(messages: list[str]) -> Json:
    about = (
        "Server-sent events: `id: {turn_id}:{seq}` and `data: {json}` for each, `data: [DONE]` "
        "after the terminal one. `POST /turn/stream` answers with the same stream."
    )
    return {
        "address": "/turns/{turn_id}/events",
        "title": "A turn's events over HTTP",
        "description": about,
        "parameters": {"turn_id": {"description": "The turn.", "examples": [EXAMPLE_TURN]}},
        "messages": _message_refs(messages),
    }


def _message_refs(names: list[str]) -> Json:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _operation(action: str, channel: str, names: Any, summary: str) -> Json:
    at = f"#/channels/{channel}"
    return {
        "action": action,
        "channel": {"$ref": at},
        "summary": summary,
        "messages": [{"$ref": f"{at}/messages/{name}"} for name in names],
    }


def _message(name: str, schema: Json) -> Json:
    title, example = HEARD.get(name, (schema.get("description", name), None))
    examples = {} if example is None else {"examples": [{"payload": example}]}
    return {"name": name, "title": title, "payload": ref(name), **examples}


def _reachable(names: list[str], schemas: Json) -> Json:
    """The schemas that these need, and no others."""
    found: Json = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = schemas[name]
            waiting += [target.rpartition("/")[2] for target in _refs(schemas[name])]
    return dict(sorted(found.items()))


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _refs(part)
