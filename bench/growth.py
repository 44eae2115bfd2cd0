"""Memory of one process over many turns, and over many messages of many conversations."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from bench.client import Target, play
from bench.harness import Harness, check
from bench.model import Pace
from bench.processes import Failed
from bench.table import Row

MESSAGES: Final = 50  # of each conversation
AT_ONCE: Final = 8  # conversations
_TURNS: Final = Pace(each=0)
_CHATS: Final = Pace(tokens=271, each=0)
_WINDOW: Final = 10  # questions and answers that are kept, the default
_MOST_TOPICS: Final = 5
_LONGEST_SUMMARY: Final = 4_000


def flat(harness: Harness) -> list[Row]:
    first, all_, step = (20, 60, 20) if harness.quick else (500, 2_000, 100)
    with harness.fresh("service", "service for long") as target:
        harness.set_pace(_TURNS)
        sizes = _sizes(harness, [target] * (all_ // step), step, 1)
    harness.note_writes()
    what = f"memory from turn {first} to turn {all_:,}, one after another"
    return [_row(what, sizes[first // step - 1 :], 5)]


def chats(harness: Harness) -> list[Row]:
    conversations, step = (AT_ONCE, 50) if harness.quick else (200, 500)
    count = conversations * MESSAGES
    with harness.fresh("service", "service for chats") as target:
        harness.set_pace(_CHATS)
        chatting = Chatting(target.process)
        talks = [replace(chatting, first=first) for first in range(0, count, step)]
        sizes = _sizes(harness, talks, step, AT_ONCE)
        for number in range(conversations):
            _bounded(chatting, number)
    what = f"memory from message {count // 2:,} to {count:,} of {conversations} conversations"
    return [_row(what, sizes[len(sizes) // 2 - 1 :], 3)]


def _sizes(harness: Harness, targets: Sequence[Target], step: int, at_once: int) -> list[int]:
    """Bytes after every `step` turns, of which each target has so many."""

    def sizes() -> Iterator[int]:
        for target in targets:
            check(target, harness.run(play(target, step, at_once)))
            yield target.process.rss()

    return list(sizes())


def _row(what: str, sizes: Sequence[int], most: int) -> Row:
    growth = (max(sizes) / sizes[0] - 1) * 100
    return Row(
        f"growth of {what}",
        "%",
        growth,
        target=f"≤ {most}",
        met=growth <= most,
        note=f"{sizes[0] / 2**20:.0f} MiB at first, {sizes[-1] / 2**20:.0f} at the end",
    )


# -- conversations --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chatting(Target):
    """Messages in place of turns, `AT_ONCE` conversations at a time; each is a user's of its own.
    `first`: how many messages were sent before."""

    first: int = 0

    def play(self, number: int = 0, action: str = "") -> bytes:
        sent = self.first + number
        conversation = sent // (AT_ONCE * MESSAGES) * AT_ONCE + sent % AT_ONCE
        body = json.dumps({"username": "ann", "message": f"Which knot is number {sent}?"}).encode()
        head = (
            f"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User-Id: {user(conversation)}\r\n"
            "Content-Type: application/json\r\nAccept: text/event-stream\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def user(conversation: int) -> str:
    """Whose conversation it is."""
    return f"viewer-{conversation}"


def _bounded(target: Target, conversation: int) -> None:
    """Raises `Failed` for a conversation that keeps too much, or half of an exchange."""
    url = f"http://127.0.0.1:{target.process.port}/context"
    request = urllib.request.Request(url, headers={"X-User-Id": user(conversation)})
    with urllib.request.urlopen(request, timeout=60) as response:
        kept = json.load(response)
    if wrong := [what for what, fails in _FAULTS.items() if fails(kept)]:
        raise Failed(f"{wrong[0]} of {user(conversation)}: {json.dumps(kept)[:2_000]}")


def _split(kept: Any) -> bool:
    roles = [message["role"] for message in kept["context"]]
    return roles != ["user", "assistant"] * (_WINDOW // 2)


def _too_much(name: str, most: int, kept: Any) -> bool:
    return not 0 < len(kept["metadata"][name]) <= most


_FAULTS: Final[dict[str, Callable[[Any], bool]]] = {
    "the window": _split,
    "the topics": partial(_too_much, "current_topics", _MOST_TOPICS),
    "the summary": partial(_too_much, "context_summary", _LONGEST_SUMMARY),
}
