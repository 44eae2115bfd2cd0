"""Whether a player got everything: each event once and in order, and the narrative to the letter."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench.client import Turn


def flaw(turn: Turn, narrative: str) -> str | None:
    """What is wrong with a kept stream of the service; None for nothing."""
    blocks = b"".join(_chunks(turn.body)).removeprefix(b"retry: 2000\n").split(b"\n\n")
    events = [block for block in blocks if block.startswith(b"id: ")]
    ids = [event[4 : event.index(b"\n")].decode() for event in events]
    if ids != [f"{turn.turn_id}:{number}" for number in range(1, len(ids) + 1)]:
        return f"ids are not contiguous: {ids}"
    received = [json.loads(event[event.index(b"data: ") + 6 :]) for event in events]
    if not received or received[-1]["type"] != "complete" or blocks[-2:] != [b"data: [DONE]", b""]:
        return f"the stream does not end as it should: {blocks[-3:]!r}"
    if "".join(event["content"] for event in received if event["type"] == "token") != narrative:
        return "the narrative is another one"
    return None


def _chunks(body: bytes) -> Iterator[bytes]:
    at = 0
    while size := int(body[at : (line := body.index(b"\r\n", at))], 16):
        yield body[line + 2 : line + 2 + size]
        at = line + 4 + size
