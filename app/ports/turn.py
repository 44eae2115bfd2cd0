"""A turn as it is asked for and as it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from app.core.access import Owner, Resource, user
from app.core.metadata import BudgetWarning
from app.core.money import Amount
from app.core.record import Recording

TurnStatus = Literal["queued", "running", "complete", "error", "cancelled"]
TurnKind = Literal["turn", "opening", "chat", "table", "content"]
_OF_NO_CHARACTER: Final = frozenset({"chat", "content"})


def scope_of(kind: TurnKind) -> str:
    """The scope that opens turns of that kind."""
    return {"chat": "chat", "table": "tables", "content": "content"}.get(kind, "turns")


def character_key(character_id: str, user_id: str) -> str:
    """The exclusive key of turns that a user's character takes alone, and the account of all its turns."""
    return f"character:{character_id}:{user_id}"


def owner_of(kind: TurnKind, user_id: str, exclusive: str | None) -> Owner:
    """The owner of a turn: its user, or its table."""
    if kind != "table" or exclusive is None:
        return user(user_id)
    return Owner("table", exclusive.partition(":")[2])


def resource_of(
    turn_id: str, kind: TurnKind, user_id: str, character_id: str, exclusive: str | None
) -> Resource:
    """A turn as the access policy sees it: a part of its character's story, or of its table's."""
    within = exclusive if kind == "table" and exclusive is not None else character_id or None
    return Resource(turn_id, owner_of(kind, user_id, exclusive), within, scope_of(kind))


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One admitted request. `kind` opening: the first scene of a new character; chat: a message to a
    conversation, whose `character_id` is `chat:` and the conversation's id; content: something written or
    judged, whose `character_id` is `content:` and what it is, and whose `about` is the request; table: a
    table's turn, with the table's exclusive key, and the acting player's character, if any."""

    character_id: str
    user_action: str
    user_id: str
    request_id: str
    dry_run: bool = False
    traceparent: str | None = None
    """W3C trace context of the turn, sent on with its calls."""
    outer_traceparent: str | None = None
    """The caller's, where the turn has one of its own."""
    idempotency_key: str | None = None
    endpoint: str = "/turn/stream"
    kind: TurnKind = "turn"
    address: str = ""
    about: str = ""
    """What else makes two requests the same; for an opening, the character that is wished for."""
    same: str = ""
    """What makes two requests the same instead of `about` and `user_action`, where these hold what chance
    has decided."""
    reserved: int = 0
    """Tokens set aside for the turn in its user's budget of the day."""
    reserved_micros: int = 0
    """The same in micro-dollars."""
    shared_tokens: int = 0
    """The budget of its table for all turns together; 0: no limit."""
    shared_micros: int = 0
    """The same in micro-dollars."""
    exclusive: str | None = None
    """What only one turn at a time may have, where it is not the user's character."""
    per_minute: int = 0
    """How many requests a minute may be made of the exclusive key; 0: as the settings say."""
    taken_before: bool = False
    """The limits and the budget of its user were checked when the actions that it plays were collected."""
    commit: Literal["auto", "manual"] = "auto"
    """manual: the outcome awaits that somebody commits it."""
    may_wait: int = 0
    """How many may wait for the exclusive key, whatever TURN_CONFLICT says."""
    may_wait_each: int = 0
    """How many of them may be of one user, of whom one always may; 0: that does not count."""
    charged: str = ""
    """The limit that counts it beside those of user and service, where it is content."""
    model: str = ""
    """The model that was asked for, where it is not the service's own."""
    budget_warnings: tuple[BudgetWarning, ...] = ()
    """Budgets that are nearly used: its user's of the day, its table's."""
    references: tuple[str, ...] = ()
    """Ids of content that the turn refers to."""
    referrers: tuple[str, ...] = ()
    """Whose each of `references` is, where several users refer to content; else it is the user's own."""
    dialect: Mapping[str, Any] = field(default_factory=dict)
    """Start parameters of the request's dialect, as JSON: a replay needs them for the same bytes."""
    last_event_id: str = ""
    """Of a client that sends a request for a stream again by itself. Not stored."""

    def __post_init__(self) -> None:
        """JSON, as stores keep it, knows no tuples."""
        object.__setattr__(self, "references", tuple(self.references))
        object.__setattr__(self, "referrers", tuple(self.referrers))
        object.__setattr__(self, "budget_warnings", tuple(self.budget_warnings))

    @property
    def asks(self) -> Amount:
        """The amount that is reserved for the turn."""
        return Amount(self.reserved, self.reserved_micros)

    @property
    def shared(self) -> Amount:
        """The budget of its table."""
        return Amount(self.shared_tokens, self.shared_micros)

    @property
    def of_character(self) -> str | None:
        """The character that takes the turn."""
        return None if self.kind in _OF_NO_CHARACTER else self.character_id or None

    @property
    def resource_owner(self) -> Owner:
        """The owner of the turn."""
        return owner_of(self.kind, self.user_id, self.exclusive)

    @property
    def character_key(self) -> str | None:
        """The exclusive key of turns that the character takes alone; None for one without a character."""
        plays = self.kind in ("turn", "opening", "table") and self.character_id
        return character_key(self.character_id, self.user_id) if plays else None

    @property
    def exclusive_key(self) -> str:
        """Turns with the same key run one after another. It holds the user: an id alone blocks nobody."""
        return self.exclusive or character_key(self.character_id, self.user_id)


@dataclass(slots=True)
class StoredTurn:
    """A turn as the store keeps it. Times are epoch seconds; `result` is the turn's final view."""

    turn_id: str
    user_id: str
    character_id: str
    status: TurnStatus
    created_at: float
    request: dict[str, Any] = field(default_factory=dict)
    finished_at: float | None = None
    result: dict[str, Any] | None = None
    recording: Recording | None = None
    elsewhere: bool = False  # it is open, and another process has it

    @property
    def resource(self) -> Resource:
        """See `resource_of`."""
        exclusive = self.request.get("exclusive")
        return resource_of(self.turn_id, self.kind, self.user_id, self.character_id, exclusive)

    @property
    def of_character(self) -> str | None:
        """The character that has taken the turn."""
        return None if self.kind in _OF_NO_CHARACTER else self.character_id or None

    @property
    def kind(self) -> TurnKind:
        """The kind of its request."""
        return cast(TurnKind, self.request.get("kind", "turn"))
