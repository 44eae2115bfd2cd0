"""Which request for a completion is a player's action: a function of the request and the turns so far.

Chat front ends send much unasked (titles, tags, follow-ups, summaries), repeat and regenerate answers
without saying so, and know nothing of keys. What they do send is the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.errors import HistoryIsWritten, NoNewAction
from app.frontends.messages import digest
from app.frontends.past import PastTurn

SHORTEST: Final = 12  # characters of a text that says where in a story one is
COMPARED: Final = 100_000  # characters of the text in front of an action; no narrative is so long
REPEAT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The relevant parts of a request.

    `tasks`: for the model of background tasks. `marked`: `metadata.dm_turn` says that it is a turn.
    `action`: the last message, where it is the player's; `before`: the last answer in front of it.
    `retry`: how often an SDK has repeated it; None: it does not say.
    """

    action: str | None
    before: str | None = None
    tasks: bool = False
    streamed: bool = True
    marked: bool = False
    key: str | None = None
    chat: str | None = None
    retry: int | None = None

    @property
    def is_background(self) -> bool:
        """Whether it is surely no player's action."""
        return self.tasks or not (self.streamed or self.marked or self.key is not None)


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A new action, or the one that its own key names."""

    key: str


@dataclass(frozen=True, slots=True)
class SameTurn:
    """The action began this turn already, whether it runs or has ended."""

    turn_id: str


def decide(asked: Asked, turns: Sequence[PastTurn], now: float) -> NewTurn | SameTurn:
    """`turns`: the character's, newest first, back to the one that `before` comes from or to the first.

    Raises `NoNewAction`, or `HistoryIsWritten` for an edit or a branch of the past.
    """
    if asked.action is None:
        raise NoNewAction
    if asked.key is not None:
        return NewTurn(asked.key)
    newest = turns[0] if turns else None
    if newest is not None and newest.is_open and newest.action == asked.action:
        return SameTurn(newest.turn_id)
    shown = folded(asked.before)
    place = next((k for k, turn in enumerate(turns) if continues(turn, shown)), None)
    if place is None:
        again = newest if newest is not None and _repeats(asked, newest, now) else None
    else:
        again = _turn_after(turns[:place], asked.action)
    return _new(asked, newest) if again is None else SameTurn(again.turn_id)


def continues(turn: PastTurn, shown: str) -> bool:
    """Whether `shown`, the `folded` text in front of an action, is this turn's, or a part of it, or has
    it as a part."""
    narrative = folded(turn.narrative)
    short, long = sorted((narrative, shown), key=len)
    return (len(short) >= SHORTEST and short in long) or (narrative == shown != "")


def folded(text: str | None) -> str:
    """The text with single spaces."""
    return " ".join((text or "").split())


def before_mark(before: str | None) -> str:
    """The digest of the text in front of an action."""
    return digest(folded(before))


def _turn_after(later: Sequence[PastTurn], action: str) -> PastTurn | None:
    """The turn that the action began already; None: no turn has completed since."""
    complete = [turn for turn in later if turn.status == "complete"]
    if not complete:
        return None
    if complete[-1].action != action:
        raise HistoryIsWritten
    return complete[-1]


def _repeats(asked: Asked, newest: PastTurn, now: float) -> bool:
    """In a chat whose beginning is not ours: whether this is the newest turn's request once more."""
    same = newest.status == "complete" and newest.action == asked.action
    if not same or newest.kept.get("before") != before_mark(asked.before):
        return False
    if asked.retry is not None:
        return asked.retry > 0
    chat = newest.kept.get("chat")
    if asked.chat is not None or chat is not None:
        return asked.chat == chat
    return now - newest.began < REPEAT_SECONDS


def _new(asked: Asked, newest: PastTurn | None) -> NewTurn:
    """Two copies of a request at the same moment have the same key."""
    return NewTurn(digest("openai", newest.turn_id if newest else "", asked.action))
