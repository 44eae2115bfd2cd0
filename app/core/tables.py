"""Tables: many players, one story. Who sits at one, what is said there, and who may do what.

A *table* is an owner, a set of seats and a sequence of turns. Its turns belong to the table, not to
the player whose action began them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.core.access import Caller, Owner, Resource, user
from app.core.money import Amount
from app.core.table_topics import topics_of
from app.core.text import as_seen

KIND: Final = "table"
SCOPE: Final = "tables"
_MODERATORS: Final = "table_moderators"
DEFAULT_DM: Final = "Dungeon Master"
DEFAULT_PLAYER: Final = "Player"
ANSWERS: Final = "answers"
"""In the data of a turn's line: pairs of player and action."""

NPCS: Final = "npcs"
"""In the data of a turn's line: the persons of the story that its scene names as present."""

X_CARD: Final = "x_card"
"""In the data of a line that says that the X card was played; with the number of that line, in the data of
the turn that has moved on from there."""

DICE: Final = "dice"
"""In the data of a deed's line: the roll that the service has made for it."""

ROUND: Final = "round"
"""In the data of a deed's line: the number of the round that has collected it."""

MAX_TOPICS: Final = 50

Role = Literal["player", "dm"]
MessageType = Literal["player", "dm", "system"]
Topic = Annotated[str, Field(min_length=1, max_length=200)]
Topics = Annotated[tuple[Topic, ...], Field(max_length=MAX_TOPICS), AfterValidator(topics_of)]


class TableRules(BaseModel):
    """Settings of a table. `lines` are topics that never come up, `veils` topics that happen out of sight.
    0 in `requests_per_minute`, `token_budget` or `cost_budget_micros` is no limit.

    `mode`: in turns, each action is a turn; in rounds, those of all players together are one, once
    everybody has acted or `round_seconds` (0: no deadline) have passed since the first one. A player who is
    away then does nothing, or the model plays (`absent`). `commit`: manual: an outcome counts
    once somebody commits it.

    `approval_seconds`: how long a human dungeon master has for approving an outcome; 0: nobody has to.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    join: Literal["invitation", "open"] = "invitation"
    requests_per_minute: int = 20
    token_budget: int = 100_000
    cost_budget_micros: int = 0
    lines: Topics = ()
    veils: Topics = ()
    paused: bool = False
    approval_seconds: int = 0
    mode: Literal["turns", "rounds"] = "turns"
    round_seconds: int = 120
    absent: Literal["skip", "model"] = "skip"
    commit: Literal["auto", "manual"] = "auto"

    @property
    def budget(self) -> Amount:
        """The budget of all turns of the table together."""
        return Amount(self.token_budget, self.cost_budget_micros)


class Summary(BaseModel):
    """The summary of a table's story before its newest lines. `upto`: the last line that it covers.
    `corrected`: by hand, since it was made."""

    model_config = ConfigDict(frozen=True)

    text: str = ""
    upto: int = 0
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Times are epoch seconds; `tokens_used` by all turns of the table so far. `has_dm`: a member has the
    role of the human dungeon master."""

    id: int
    name: str
    dm_name: str
    owner: str
    created_at: float
    is_active: bool = True
    rules: TableRules = field(default_factory=TableRules)
    tokens_used: int = 0
    has_dm: bool = False

    @property
    def key(self) -> str:
        """The exclusive key of the table's turns."""
        return table_key(self.id)

    def ruled(self, **changes: Any) -> Table:
        """With other rules."""
        return replace(self, rules=self.rules.model_copy(update=changes))

    def without(self, topic: str) -> Table:
        """With another topic that never comes up, where there is room for it: no other one ends by it."""
        known = self.rules.lines
        full = len(known) >= MAX_TOPICS
        return self if full or self.excludes(topic) else self.ruled(lines=(*known, topic))

    def excludes(self, topic: str) -> bool:
        """Whether the topic is among those that never come up."""
        return topic.casefold() in [one.casefold() for one in self.rules.lines]

    @property
    def story(self) -> Resource:
        """For everybody who sits at the table."""
        return Resource(self.key, Owner(KIND, str(self.id)), scope=SCOPE)

    @property
    def moderation(self) -> Resource:
        """What players do not see before it counts, or never: for the human dungeon master, and for the
        owner as long as there is none."""
        owner = Owner(_MODERATORS, str(self.id))
        return Resource(f"{self.key}:moderation", owner, within=self.key, scope=SCOPE)

    @property
    def management(self) -> tuple[Resource, Resource]:
        """For the owner and the human dungeon master: whoever has either of these."""
        return self.property, self.moderation

    @property
    def property(self) -> Resource:
        """For the owner alone."""
        return Resource(f"{self.key}:property", user(self.owner), scope=SCOPE)


@dataclass(frozen=True, slots=True)
class Seat:
    """A user at a table. `present` is False once they left or, with `removed`, were put out."""

    user_id: str
    player_name: str
    role: Role = "player"
    character_id: str | None = None
    joined_at: float = 0.0
    present: bool = True
    removed: bool = False

    @property
    def name_key(self) -> str:
        """Seats with the same one have the same name."""
        return as_seen(self.player_name)

    def has_moved(self, before: Seat | None) -> bool:
        """Whether its user has come or gone since, or was removed."""
        known = before and (before.present, before.removed)
        return known != (self.present, self.removed)


@dataclass(frozen=True, slots=True)
class NewLine:
    """Something said at a table. `recipient`: the one user beside its author who may read it; None:
    everybody. `turn_id`: of the turn that it narrates. `data`: what more there is, such as a roll.
    """

    sender: str
    content: str
    message_type: MessageType
    user_id: str = ""
    turn_id: str | None = None
    recipient: str | None = None
    data: dict[str, Any] | None = None

    @property
    def roll(self) -> int | None:
        """The number of the roll that the service has made for it."""
        rolled = (self.data or {}).get(DICE)
        return None if rolled is None else int(rolled["index"])


class DeedKey(NamedTuple):
    """By which a deed that is sent again is known: its user's idempotency key, and the hash of its
    request, which a deed of the same key must have."""

    user_id: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number, which grows over all tables in the order in which things were said."""

    id: int
    table_id: int
    said: NewLine
    created_at: float

    def is_for(self, user_id: str) -> bool:
        """Whether that member may read it."""
        return self.said.recipient in (None, user_id) or self.said.user_id == user_id


@dataclass(frozen=True, slots=True)
class Invitation:
    """Leave to take a seat; only a hash of its token is kept."""

    id: str
    role: Role
    created_at: float
    expires_at: float | None = None
    revoked: bool = False


def table_key(table_id: int | str) -> str:
    """The exclusive key of a table's turns."""
    return f"{KIND}:{table_id}"


def has_place(user_id: str, table: Table, seat: Seat | None) -> bool:
    """Whether a user is at the table."""
    return user_id == table.owner or (seat is not None and seat.present)


def seated(caller: Caller, table: Table, seat: Seat | None) -> Caller:
    """The caller as one who acts for the table, as far as their seat allows now."""
    leads = seat is not None and seat.present and seat.role == "dm"
    acts = {table.story.owner} if has_place(caller.user_id, table, seat) else set()
    if leads or (caller.user_id == table.owner and not table.has_dm):
        acts.add(table.moderation.owner)
    others = caller.acts_for - {table.story.owner, table.moderation.owner}
    return caller._replace(acts_for=others | acts)
