"""AsyncAPI: WebSockets and event streams, from the server's point of view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from app import __version__
from app.web.openapi.schemas import Schemas, references
from app.web.parameters import TRACING
from app.web.routing import Channel, Json, Operation

INFO: Final = "One JSON object per message. Clients must ignore event types they do not know."


def asyncapi_document(operations: Sequence[Operation], schemas: Schemas) -> Json:
    """Every operation that has a channel, and the messages of all channels."""
    rows = [(one, one.channel) for one in operations if one.channel is not None]
    messages: dict[str, Json] = {}
    for _, channel in rows:
        messages |= _messages(channel, schemas)
    payloads = [message["payload"] for message in messages.values()]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Dungeon Master", "version": __version__, "description": INFO},
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(one, channel, schemas) for one, channel in rows},
        "operations": {
            name: described
            for _, channel in rows
            for name, described in _operations(channel, schemas).items()
        },
        "components": {"messages": messages, "schemas": schemas.reachable(payloads)},
    }


def _received(channel: Channel, schemas: Schemas) -> Json:
    return {
        name: {
            "name": name,
            "title": message.title,
            "payload": payload,
            "examples": [{"payload": message.example}],
        }
        for message in channel.messages
        for payload in (schemas.taken(message.type),)
        for name in references(payload)
    }


def _sent(channel: Channel, schemas: Schemas) -> Json:
    union = next(references(schemas.sent(channel.events)))
    return {
        name: {
            "name": name,
            "title": schemas.components[name].get("description", name),
            "payload": variant,
        }
        for variant in schemas.components[union]["oneOf"]
        for name in references(variant)
    }


def _messages(channel: Channel, schemas: Schemas) -> Json:
    return {**_received(channel, schemas), **_sent(channel, schemas)}


def _channel(one: Operation, channel: Channel, schemas: Schemas) -> Json:
    described: Json = {"address": one.path, "title": channel.title}
    if channel.about is not None:
        described["description"] = channel.about
    in_path = [each for each in one.parameters if each.place == "path"]
    if in_path:
        described["parameters"] = {
            each.name: {"description": each.about, "examples": [each.example]} for each in in_path
        }
    described["messages"] = {
        name: {"$ref": f"#/components/messages/{name}"} for name in _messages(channel, schemas)
    }
    if one.method == "WEBSOCKET":
        described["bindings"] = {"ws": _binding(one)}
    return described


def _binding(one: Operation) -> Json:
    shared = [each for each in (*TRACING, *one.parameters) if each.component is not None]
    headers = {each.name: each.schema for each in shared if each.place == "header"}
    return {"method": "GET", "headers": {"type": "object", "properties": headers}}


def _operations(channel: Channel, schemas: Schemas) -> Json:
    name, summary = channel.sends
    sent = _operation("send", channel.name, summary, _sent(channel, schemas))
    if channel.receives is None:
        return {name: sent}
    receive, about = channel.receives
    received = _operation("receive", channel.name, about, _received(channel, schemas))
    return {receive: received, name: sent}


def _operation(action: str, channel: str, summary: str, names: Iterable[str]) -> Json:
    at = f"#/channels/{channel}"
    return {
        "action": action,
        "channel": {"$ref": at},
        "summary": summary,
        "messages": [{"$ref": f"{at}/messages/{name}"} for name in names],
    }
