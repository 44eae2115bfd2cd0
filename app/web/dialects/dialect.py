"""A dialect is a pure fold over the entries of a turn, `(state, entry) -> (state, messages)`.

It performs no I/O and reads no clock, so a replay has the same bytes as the live stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from app.core.events import Entry
from app.eventlog.reader import Cursor


class Message(NamedTuple):
    """`data`: one line. `seq`: number of the entry whose id the message carries; 0 for no id. Where an
    entry becomes several messages, the last one has its id."""

    data: bytes
    seq: int = 0


class Comment(NamedTuple):
    """Keeps a connection busy and is no message: nothing at all where a transport has none."""

    text: bytes


Messages = Sequence[Message | Comment]
State = TypeVar("State")
NO_HEADERS: Final[Mapping[str, str]] = {}


class Dialect(Protocol[State]):
    """`identity`: `fold` makes of each entry one message, its data under its number, whatever came
    before; a transport may then frame entries without folding them. `retry`: a stream begins with the
    client's reconnection time. `done`: it ends with `[DONE]` behind the terminal event. `ids`: messages
    have ids. `headers`: of an answer in the dialect.
    """

    name: str
    identity: bool
    retry: bool
    done: bool
    ids: bool
    headers: Mapping[str, str]

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> State:
        """The state before the first entry. `parameters` come from the request that began the turn and
        are kept with it, for its replays."""
        ...

    def fold(self, state: State, entry: Entry) -> tuple[State, Messages]:
        """A new state; the old one stays as it is: an entry that could not be written is folded again.

        Must take any type of entry, those numbered 0 (`ping`, `gap`) and unknown ones too."""
        ...

    def token(self, state: State, data: bytes) -> bytes | None:
        """The one message that `fold` makes of a token which leaves the state as it is, as nearly all
        do; None: it has to be folded."""
        ...

    def ended(self, state: State) -> bool:
        """Whether the dialect's own terminal message was made."""
        ...

    def cut(self, state: State) -> Messages | None:
        """The last messages of a stream that stops before its end; None: a clean end would look like
        success, so the connection is to be reset."""
        ...


class Rendering(Generic[State]):
    """One reader's run of a dialect.

    `seen`: the number of the last entry that the reader had before it came back; 0 once that is passed.
    Up to it, entries are folded in silence.
    """

    __slots__ = ("dialect", "seen", "state", "turn_id")

    def __init__(
        self,
        dialect: Dialect[State],
        turn_id: str,
        seen: int = 0,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.dialect = dialect
        self.turn_id = turn_id
        self.seen = seen
        self.state = dialect.begin(turn_id, parameters or {})

    def messages(self, entries: Iterable[Entry]) -> list[Message | Comment]:
        """The messages for `entries`. The state is advanced."""
        sent: list[Message | Comment] = []
        for entry in entries:
            self.state, messages = self.dialect.fold(self.state, entry)
            seq = entry[0]
            if not seq or seq > self.seen:
                sent += messages
            if seq >= self.seen:
                self.seen = 0
        return sent

    @property
    def ended(self) -> bool:
        return self.dialect.ended(self.state)

    def cut(self) -> Messages | None:
        """See `Dialect.cut`."""
        return self.dialect.cut(self.state)


def rendering_from(
    cursor: Cursor,
    dialect: Dialect[State],
    turn_id: str,
    parameters: Mapping[str, Any] | None = None,
) -> Rendering[State]:
    """A rendering for a reader that goes on at `cursor`. The cursor is set back where the fold needs
    what came before."""
    seen = 0
    if not dialect.identity:
        seen, cursor.position = cursor.seen, 0
    return Rendering(dialect, turn_id, seen, parameters)
