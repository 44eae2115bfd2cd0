"""Events for other services: their types, subjects and owners."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from re import compile
from typing import Any, Final, Literal, get_args

EventType = Literal[
    "turn.completed",
    "turn.failed",
    "turn.cancelled",
    "session.created",
    "session.changed",
    "session.deleted",
    "session.joined",
    "session.left",
    "content.generated",
    "story.generated",
    "theme.analyzed",
    "validation.completed",
]
EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)

SESSIONS, CONVERSATIONS, CHARACTERS, CONTENT = "sessions", "conversations", "characters", "content"
_SCOPES: Final = {SESSIONS: "tables", CONVERSATIONS: "chat", CHARACTERS: "turns"}
_ANSWERED: Final = {
    "parent_content_id": "parent_content_id",
    "primary_category": "theme_category",
    "category_confidence": "confidence",
    "overall_score": "overall_score",
    "passed": "passed",
}
_PLAIN: Final = compile(r"[^A-Za-z0-9_-]")
MAX_TOKEN: Final = 200


@dataclass(frozen=True, slots=True)
class NewEvent:
    """`id` is unique among all events: who receives one twice knows it by that. `subject`: what it is
    about, a kind and an id with a slash between; events of one subject stay in order. `user_id`: whose
    it is. `data` is JSON."""

    id: str
    type: EventType
    subject: str
    user_id: str
    data: Mapping[str, Any]


def about_turn(turn_id: str, character_id: str, exclusive: str | None) -> str:
    """The subject of a turn's events: its table, its conversation, what it makes, or else its character."""
    kind, _, name = (exclusive or "").partition(":")
    if kind == "table":
        return f"{SESSIONS}/{name}"
    if kind == "content":
        return f"{CONTENT}/{turn_id}"
    if character_id.startswith("chat:"):
        return f"{CONVERSATIONS}/{character_id.removeprefix('chat:')}"
    return f"{CHARACTERS}/{character_id}"


def content_event(kind: EventType, user_id: str, answer: Mapping[str, Any]) -> NewEvent:
    """Something that was made, or said, of a content. Each kind comes once for a content. `answer`: what
    the client got; of its texts nothing goes along."""
    content_id, metadata = answer["content_id"], answer["metadata"]
    data = {
        "content_id": content_id,
        "content_type": metadata["content_type"],
        "user_id": user_id,
        "metadata": {name: metadata[name] for name in ("model_used", "token_usage")},
    }
    data |= {ours: answer[name] for name, ours in _ANSWERED.items() if name in answer}
    return NewEvent(event_id(kind, content_id), kind, f"{CONTENT}/{content_id}", user_id, data)


def session_event(
    kind: EventType, session_id: int, number: str, owner: str, data: Mapping[str, Any]
) -> NewEvent:
    """`number`: unique, since most of these happen to a session many times."""
    subject = f"{SESSIONS}/{session_id}"
    return NewEvent(
        event_id(kind, number), kind, subject, owner, {"session_id": session_id, **data}
    )


def event_id(kind: EventType, unique: str) -> str:
    """Without a dot: signatures of webhooks separate their parts by dots."""
    return f"{kind.replace('.', '-')}-{unique}"


def scope_of_subject(subject: str) -> str:
    """The scope that lets a token see the events of the subject."""
    return _SCOPES.get(subject.partition("/")[0], "content")


def is_wanted(kind: str, wanted: Iterable[str]) -> bool:
    """Whether `wanted` is empty or names the type, or its beginning, as in `turn.*`."""
    names = tuple(wanted)
    return not names or any(
        kind == name or (name.endswith("*") and kind.startswith(name[:-1])) for name in names
    )


def subject_token(text: str) -> str:
    """The text as one token of a subject of NATS, which may hold no blank, no dot and no wildcard: other
    bytes than letters, digits, `-` and `_` become `=XX`. A long one becomes a digest."""
    raw = text.encode("utf-8", "surrogatepass").decode("latin-1")
    token = _PLAIN.sub(lambda found: f"={ord(found[0]):02X}", raw)
    if len(token) <= MAX_TOKEN:
        return token or "="
    return "=" + blake2b(raw.encode("latin-1"), digest_size=16).hexdigest()
