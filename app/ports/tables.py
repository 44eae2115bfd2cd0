"""Tables, their seats, invitations and lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from app.core.hub import NewEvent
from app.core.money import Amount
from app.core.rounds import Round
from app.core.tables import (
    DeedKey,
    Invitation,
    Line,
    NewLine,
    Role,
    Seat,
    Summary,
    Table,
    TableRules,
)
from app.errors import Forbidden
from app.ports.store import Spent, TurnStatus

RoundChange = Callable[[Round], Round | None]
LineMaker = Callable[[int], NewLine]
DeedMaker = Callable[[Round, int], tuple[Round, NewLine] | None]
TableChange = Callable[[Table], Table]


class SeatNews(NamedTuple):
    """What is announced of a seat: to other services, and to the table, `at` epoch seconds."""

    event: NewEvent
    said: NewLine
    at: float


class TableNews(NamedTuple):
    """What is announced of a table: to other services, and to the table, `at` epoch seconds. `stops`: the
    turn that runs there is cancelled with it, unless it is validated already."""

    event: NewEvent | None
    said: NewLine | None
    at: float
    stops: bool = False


NO_NEWS: Final = TableNews(None, None, 0.0)


TableAnnouncer = Callable[[Table, Table], TableNews]


class TableChanged(NamedTuple):
    """An observation: a table has other rules, or somebody sits there otherwise than before."""

    table_id: int


class Changed(NamedTuple):
    """A table as it was and as it is. `stopped`: the turn that is being cancelled with the change."""

    known: Table
    new: Table
    stopped: str | None = None


class Seating(NamedTuple):
    """`moved`: the user has come or gone, or was removed; `recast`: has another character than before."""

    moved: bool
    recast: bool


class NameTaken(Forbidden):
    """Nobody may have or speak in the name of somebody else at a table."""

    default_message = "Somebody else at the table has this name."


class TableTurn(NamedTuple):
    """`begun`: turns are numbered in the order in which they begin; None for one that waits, or that ended
    before it began. `behind` and `upto`: the newest line of the table when it began, and when it ended
    without its own; None where that is still to come, or was an older release's to note."""

    turn_id: str
    status: TurnStatus
    begun: int | None
    behind: int | None = None
    upto: int | None = None


class TableStore(Protocol):
    """Beside the journal, in the same database. Every method is one transaction, durable when it
    returns. Raises `StoreUnavailable` when the store cannot be used; then nothing was stored.

    A turn that ends adds its lines and its tokens to its table in the journal's own transaction, see
    `Ending.lines`. An `event` is added to the outbox by the transaction that changes the table, if it
    changes one.
    """

    async def create(
        self,
        owner: Seat,
        name: str,
        dm_name: str,
        rules: TableRules,
        now: float,
        announce: Callable[[int], NewEvent] | None = None,
        *,
        once: bool = False,
    ) -> Table:
        """A table with its owner seated. Numbers are never used twice. `announce` makes of the number
        the event for other services. `once`: the owner's first table of that name, where there is one, also
        where another process has just made it."""
        ...

    async def find(self, table_id: int) -> Table | None: ...

    async def of_user(self, user_id: str) -> list[Table]:
        """Tables that the user owns or sits at, newest first."""
        ...

    async def change(
        self,
        table_id: int,
        make: TableChange,
        announce: TableAnnouncer | None = None,
    ) -> Changed | None:
        """The table as it was, and with its name, dungeon master's name, activity and rules as `make`
        has changed them; None: there is no such table. `announce` makes of both what is announced with the
        change, and of a change that changes nothing, too. `make` and `announce` may be called more than
        once, from another thread: no change undoes another, of whatever process."""
        ...

    async def delete(self, table_id: int, event: NewEvent | None = None) -> bool:
        """Delete the table with its seats, invitations and lines. False: there was none."""
        ...

    async def seat(self, table_id: int, user_id: str) -> Seat | None:
        """Also of one who left or was removed."""
        ...

    async def seats(self, table_id: int) -> list[Seat]:
        """Seats of the present members, in the order in which they first joined."""
        ...

    async def take_seat(
        self, table_id: int, seat: Seat, news: SeatNews | None = None
    ) -> Seating | None:
        """Seat a user, or change their seat; `joined_at` of a known seat stays. The event and the line of
        the `news` are added where the seat has `moved`. None: they were removed, which only `readmit`
        undoes. Raises `NameTaken` where somebody else who is present has the name."""
        ...

    async def removed(self, table_id: int) -> list[Seat]:
        """Seats of those who were removed, in the order in which they first joined."""
        ...

    async def readmit(self, table_id: int, user_id: str) -> bool:
        """Let a user take a seat again, had they been removed. False: they never had one."""
        ...

    async def invite(
        self, table_id: int, invitation: Invitation, token_hash: bytes, by: str
    ) -> None: ...

    async def invitations(self, table_id: int) -> list[Invitation]:
        """Oldest first, revoked ones included."""
        ...

    async def invitation(self, table_id: int, token_hash: bytes, now: float) -> Role | None:
        """The role that a token gives; None unless it is good."""
        ...

    async def revoke(self, table_id: int, invitation_id: str) -> bool:
        """Whether there is such an invitation."""
        ...

    async def say(self, table_id: int, said: NewLine, now: float) -> Line: ...

    async def say_deed(
        self, table_id: int, make: LineMaker, now: float, key: DeedKey | None = None
    ) -> Line:
        """The line of a deed, which exists once for a key: whoever comes second, from whatever process,
        is given the first one's. A key is free again a day after its line.

        `make`, which may be called more than once, is given the number of the table's next roll. Numbers
        count from 1 without a gap: one is taken together with the line that shows it. Raises
        `IdempotencyKeyReused` for a key that came with another hash."""
        ...

    async def deed(self, key: DeedKey, now: float) -> Line | None:
        """The line that was said with the key. Raises `IdempotencyKeyReused`."""
        ...

    async def lines(
        self, table_id: int, reader: str, limit: int, before: int | None = None
    ) -> list[Line]:
        """The newest ones that the reader may see, oldest first; `before`: older than that line."""
        ...

    async def lines_since(self, table_id: int, line_id: int, limit: int) -> list[Line]:
        """The first ones behind that line, whoever they are for, oldest first."""
        ...

    async def round(self, table_id: int) -> Round:
        """The round that is collected; a first one where there was none."""
        ...

    async def change_round(
        self,
        table_id: int,
        make: RoundChange,
        now: float,
        said: NewLine | None = None,
    ) -> Round:
        """The round as `make`, which may be called more than once, has changed it; None leaves it. `said`
        is said with the change, if there is one."""
        ...

    async def collect(
        self, table_id: int, make: DeedMaker, now: float, key: DeedKey | None = None
    ) -> Round:
        """The round with a deed, whose line is said as `say_deed` says it. The round as it is where
        `make` makes nothing of it, or where the key's line was said before, in whatever way."""
        ...

    async def rounds_due(self) -> list[tuple[int, float]]:
        """Tables with an open round, and when it may be played (epoch seconds)."""
        ...

    async def turns(self, table_id: int, after: str | None) -> Sequence[TableTurn]:
        """The table's turns admitted after that one, oldest first; None: all that are kept. Where that
        turn is no longer kept, the open ones."""
        ...

    async def meet(self, here: Mapping[int, Mapping[str, str]]) -> Mapping[int, Mapping[str, str]]:
        """Keep, as long as this process lives, who is connected here to each of these tables: names by
        user. Who is connected to them in other living processes."""
        ...

    async def elsewhere(self, table_id: int) -> Mapping[str, str]:
        """Who is connected to the table in other living processes: names by user."""
        ...

    async def lead(
        self, held: Collection[int], taken: Collection[int], left: Collection[int]
    ) -> Collection[int]:
        """Keep, as long as this process lives, to which tables a dungeon master is connected here: those of
        `taken` from now on, whoever was connected before, those of `held` unless one is connected to
        another living process, those of `left` no more. Of `held` and `left`, those to which one is
        connected elsewhere."""
        ...

    async def spent(self, table_id: int) -> Spent:
        """By all turns of the table so far, and what is set aside for open ones."""
        ...

    async def summary(self, table_id: int) -> Summary:
        """An empty one where none was made."""
        ...

    async def put_summary(self, table_id: int, known: Summary, new: Summary) -> bool:
        """Store it in the place of the one that it was made from. False: there is another one by now."""
        ...

    async def reserve(
        self, table_id: int, reservation: str, amount: Amount, budget: Amount
    ) -> None:
        """Set aside what may be used beside the table's turns, under a name that nobody else has. What a
        dead process had set aside is charged by `TurnStore.adopt`. Raises `TokenBudgetExceeded` as the
        claim of a turn does."""
        ...

    async def settle(self, reservation: str, spent: Amount) -> None:
        """Charge what was used, in the place of what was set aside; nothing the second time."""
        ...
