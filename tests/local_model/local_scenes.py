"""What is played against a real model, and how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app.adapters.openai.probing import ProbedOpenAIModel
from app.bootstrap import Builder
from app.ports.model import LanguageModel

from serving import Served, aside

CLEAN: Final = {"llm_response_error", "llm_error", "llm_timeout", "llm_unavailable"}
HERO: Final = {"name": "Kestrel", "race": "Half-Elf", "class_name": "Ranger"}
ACTIONS: Final = (
    "I look around.",
    "I ask the innkeeper what happened here.",
    "I take the lantern and go down the stairs.",
    "I draw my sword and attack!",
    "I rest by the fire.",
)
CONTENT: Final = {"type": "backstory", "character_context": {"character_class": "Paladin"}}
OPENINGS: Final = 3
"""Times that a small model may fail to begin a game."""


@dataclass(frozen=True)
class Ending:
    """Of one request. `clean`: complete, or an error that says what was wrong and kept nothing."""

    scene: str
    kind: str
    clean: bool
    seconds: float
    characters: int

    def __str__(self) -> str:
        mark = "" if self.clean else "  NOT CLEAN"
        text = f"{self.characters:>6} characters {self.seconds:6.1f} s"
        return f"{self.scene:<26} {self.kind:<20} {text}{mark}"


@dataclass
class Record:
    """All endings, printed as they come."""

    endings: list[Ending] = field(default_factory=list)

    def add(self, scene: str, ask: Callable[..., dict[str, Any]], *about: Any) -> dict[str, Any]:
        """`ask` returns the last event, or the answer or problem document."""
        began = time.perf_counter()
        said = ask(*about)
        kind, clean = _kind(said)
        seconds = time.perf_counter() - began
        ending = Ending(scene, kind, clean, seconds, said.get("characters", 0))
        self.endings.append(ending)
        print(f"  {ending}", flush=True)
        return said

    @property
    def unclean(self) -> list[Ending]:
        return [one for one in self.endings if not one.clean]


def _kind(said: dict[str, Any]) -> tuple[str, bool]:
    match said:
        case {"type": "complete"} | {"response": str()} | {"content_id": str()}:
            return "complete", True
        case {"type": "error", "error_type": str(kind)}:
            return kind, kind in CLEAN and not said.get("committed")
        case {"error": {"type": str(kind)}}:
            return kind, kind in CLEAN
    return json.dumps(said)[:60], False


def streamed(service: Served, path: str, body: Any) -> dict[str, Any]:
    """The last event; `characters` of text before it."""
    with service.open("POST", path, body, Accept="text/event-stream") as response:
        return _last(response.status, iter(response.readline, b""))


def _last(status: int, lines: Iterator[bytes]) -> dict[str, Any]:
    if status not in (200, 201):
        return dict(json.loads(b"".join(lines)))
    last, characters, character = dict[str, Any](), 0, ""
    for line in lines:
        if line.startswith(b"data: {"):
            last = json.loads(line[6:])
            character = last.get("character_id", character)
            characters += len(last["content"]) if last["type"] == "token" else 0
    return {**last, "character_id": character, "characters": characters}


def whole(service: Served, path: str, body: Any) -> dict[str, Any]:
    said: dict[str, Any] = service.call("POST", path, body).json()
    return {**said, "characters": len(said.get("response") or said.get("content") or "")}


def begun(service: Served, record: Record) -> str:
    """A character that has its opening, as far as the model can write one."""
    said = record.add("opening", streamed, service, "/characters", HERO)
    character = str(said["character_id"])
    for _ in range(OPENINGS - 1):
        if said.get("type") == "complete":
            break
        path = f"/characters/{character}/opening"
        said = record.add("opening", streamed, service, path, {})
    return character


def turns(service: Served, record: Record, count: int, scene: str = "turn") -> None:
    character = begun(service, record)
    for number in range(count):
        body = {"character_id": character, "user_action": ACTIONS[number % len(ACTIONS)]}
        record.add(f"{scene} {number + 1}", streamed, service, "/turn/stream", body)


def chat_and_content(service: Served, record: Record) -> None:
    said = {"username": "ann", "message": "Left or over the bridge?"}
    for name, ask in (("streamed", streamed), ("whole", whole)):
        record.add(f"chat, {name}", ask, service, "/chat", {**said, "cache": False})
        record.add(f"content, {name}", ask, service, "/api/v2/text/character", CONTENT)


def two_at_once(service: Served, record: Record) -> None:
    """Both are answered, or fail as one request may."""
    both = [
        aside(streamed, service, "/chat", {"username": "ann", "message": "Hi!", **apart})
        for apart in ({"conversation_id": "one"}, {"conversation_id": "two"})
    ]
    for number, future in enumerate(both, start=1):
        record.add(f"at once, {number} of 2", future.result, 900)


def long_chat(service: Served, record: Record, messages: int) -> None:
    """More than the context holds, in long messages."""
    for number in range(messages):
        said = f"Number {number}. " + "We walk over the bridge and then to the left. " * 30
        body = {"username": "ann", "message": said}
        record.add(f"long chat {number + 1}", streamed, service, "/chat", body)


def killed(service: Served, record: Record, kill: Callable[[], None]) -> None:
    """The model's server dies behind the first word."""
    body = {"username": "ann", "message": "Tell me a long story of a lighthouse.", "cache": False}

    def ask() -> dict[str, Any]:
        with service.open("POST", "/chat", body, Accept="text/event-stream") as response:
            lines = iter(response.readline, b"")
            for line in lines:
                if b'"type":"token"' in line:
                    kill()
                    break
            return _last(response.status, lines)

    record.add("killed in mid-stream", ask)


def formed(form: str) -> type[Served]:
    """A service that asks in no better form than this."""

    class Pinned(Builder):
        def models(self) -> list[LanguageModel]:
            return [
                one.pinned(form) if isinstance(one, ProbedOpenAIModel) else one
                for one in super().models()
            ]

    class Formed(Served):
        kind = Pinned

    return Formed
