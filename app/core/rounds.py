"""Rounds of a table: the players' actions are collected, then one turn plays all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.core.table_prompt import Deed
from app.core.tables import Seat
from app.core.writes import MAX_ACTION

PLAYED = "(away; the Dungeon Master plays)"
"""The action of a player whom the model plays."""

MAX_KEYS = 64

MOST_BY_ITSELF = 2
"""How often a round whose turns fail is played again, though nobody has done anything since."""

Absent = Literal["skip", "model"]


class Round(BaseModel):
    """The round that is being collected. It is open from its first deed on.

    `number` counts from 1. `key`: idempotency key of the turn that plays it, for `user_id`, who acted
    first. `until`: epoch seconds, None for no deadline. `away`: users for whom no round waits. `closed`: it
    takes no more deeds, and waits to be played. `forced`: somebody has forced it on while it could not be.
    `delayed`: its turn could not begin, and the players know that.

    `before`: the round before, until it is known that its turn has not failed; `turn_id` is that turn, None
    before it has begun. `failed`: how many turns of these deeds have failed; it is played when there is a
    further deed, when somebody forces it on, or at its deadline.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = 1
    key: str = ""
    user_id: str = ""
    until: float | None = None
    deeds: tuple[Deed, ...] = ()
    away: tuple[str, ...] = ()
    closed: bool = False
    forced: bool = False
    delayed: bool = False
    failed: int = 0
    turn_id: str | None = None
    before: Round | None = None
    keys: tuple[tuple[str, str], ...] = ()
    """Users and the idempotency keys of their deeds, of this round and of those before, the newest last."""

    @property
    def opened(self) -> bool:
        return bool(self.key)

    @property
    def words(self) -> str:
        """All deeds as one action."""
        return "\n".join(f"{deed.player_name}: {deed.action}" for deed in self.deeds)

    @property
    def due(self) -> float | None:
        """Epoch seconds from which on there may be something to do; None as long as nobody has acted."""
        if self.before is not None:
            return 0.0
        if not self.opened:
            return None
        if self.closed or self.forced:
            return 0.0
        return NEVER if self.until is None else self.until

    def begun(self, user_id: str, key: str, until: float | None) -> Round:
        """Open, unless it was already. One that has failed has another deadline from now on."""
        if self.failed:
            return self.model_copy(update={"until": until})
        if self.opened:
            return self
        return self.model_copy(update={"user_id": user_id, "key": key, "until": until})

    def has(self, user_id: str, key: str | None) -> bool:
        """Whether a deed with that key was taken already."""
        return key is not None and (user_id, key) in self.keys

    def with_deed(self, deed: Deed, key: str | None = None) -> Round:
        """A later deed of a player takes the place of the earlier one; whoever acts is back."""
        others = [one for one in self.deeds if one.user_id != deed.user_id]
        away = tuple(one for one in self.away if one != deed.user_id)
        keys = self.keys if key is None else (*self.keys, (deed.user_id, key))[-MAX_KEYS:]
        deeds = (*others, deed)
        return self.model_copy(update={"deeds": deeds, "away": away, "keys": keys, "failed": 0})

    def with_away(self, user_id: str, *, away: bool) -> Round:
        others = tuple(one for one in self.away if one != user_id)
        return self.model_copy(update={"away": (*others, user_id) if away else others})

    def without(self, user_id: str) -> Round:
        """Without the deeds of the user; not open if no deed is left."""
        deeds = tuple(one for one in self.deeds if one.user_id != user_id)
        away = tuple(one for one in self.away if one != user_id)
        keys = tuple(one for one in self.keys if one[0] != user_id)
        before = self.before and self.before.without(user_id)
        before = before if before and before.deeds else None
        if not deeds:
            return Round(number=self.number, away=away, keys=keys, before=before)
        first = deeds[0].user_id if self.user_id == user_id else self.user_id
        left = {"deeds": deeds, "away": away, "user_id": first, "keys": keys, "before": before}
        return self.model_copy(update=left)

    def waits_for(self, players: Sequence[Seat]) -> list[Seat]:
        """The seated players for whom the round waits."""
        done = {deed.user_id for deed in self.deeds} | set(self.away)
        return [seat for seat in players if seat.user_id not in done]

    def is_over(self, players: Sequence[Seat], now: float) -> bool:
        """Everybody has acted, or the deadline has passed; and the turn of the round before has ended."""
        if not self.opened or self.before is not None:
            return False
        late = self.until is not None and now >= self.until
        return late or self.forced or not (self.failed or self.waits_for(players))

    def close(self, players: Sequence[Seat], absent: Absent) -> Round:
        """Closed, with the deeds of present players and of those whom the model plays. A player who has
        another character by now has acted with that one."""
        seats = {seat.user_id: seat for seat in players}
        deeds = [
            deed.model_copy(update={"character_id": seats[deed.user_id].character_id})
            for deed in self.deeds
            if deed.user_id in seats
        ]
        acted = {deed.user_id for deed in deeds}
        if absent == "model":
            deeds += [_played(seat) for seat in players if seat.user_id not in acted]
        return self.model_copy(update={"deeds": tuple(deeds), "closed": True})

    def next(self, turn_id: str | None = None) -> Round:
        """The round behind this one, which that turn plays; None: nobody has acted in it."""
        update = {"turn_id": turn_id, "away": (), "keys": (), "delayed": False}
        before = None if turn_id is None else self.model_copy(update=update)
        return Round(number=self.number + 1, away=self.away, keys=self.keys, before=before)

    # -- whose turn cannot begin ------------------------------------------------------------------

    @property
    def due_turn(self) -> Round | None:
        """The round whose turn is about to begin."""
        if self.before is not None:
            return self.before if self.before.turn_id is None else None
        return self if self.closed else None

    def with_delay(self) -> Round | None:
        """Its players know that the turn which is about to begin cannot; None: there is none, or they knew
        already."""
        due = self.due_turn
        if due is None or due.delayed:
            return None
        delayed = due.model_copy(update={"delayed": True})
        return delayed if due is self else self.model_copy(update={"before": delayed})

    # -- whose turn has failed --------------------------------------------------------------------

    @property
    def may_play_by_itself(self) -> bool:
        """After as many failures, its turn is still played without anybody's doing."""
        return self.failed <= MOST_BY_ITSELF

    def with_turn(self, turn_id: str | None) -> Round:
        """The round before is played by that turn; None: it is over."""
        if self.before is None or turn_id is None:
            return self.model_copy(update={"before": None})
        begun = self.before.model_copy(update={"turn_id": turn_id, "delayed": False})
        return self.model_copy(update={"before": begun})

    def again(self, key: str, players: Sequence[Seat]) -> Round:
        """The round before is played again under another key, before this one is."""
        if self.before is None:
            return self
        present = self.before.close(players, "skip")
        fresh = {"key": key, "turn_id": None, "failed": present.failed + 1}
        before = present.model_copy(update=fresh) if present.deeds else None
        return self.model_copy(update={"before": before})

    def reopened(self, key: str, until: float | None) -> Round:
        """With the deeds of the round before, which is open again where nobody has acted since; whoever has
        does both."""
        former, alone = self.before, self.model_copy(update={"before": None})
        deeds = () if former is None else tuple(deed for deed in former.deeds if not deed.played)
        if former is None or not deeds:
            return alone
        if self.opened:
            known = {deed.user_id: deed for deed in deeds}
            both = known | {one.user_id: _after(known.get(one.user_id), one) for one in self.deeds}
            return alone.model_copy(update={"deeds": tuple(both.values())})
        update = {"number": former.number, "key": key, "user_id": former.user_id, "deeds": deeds}
        opened = alone.model_copy(update=update | {"failed": former.failed + 1})
        return opened.model_copy(update={"until": until if opened.may_play_by_itself else None})


def _after(earlier: Deed | None, later: Deed) -> Deed:
    """One deed that is both, as far as there is room."""
    if earlier is None or len(earlier.action) + len(later.action) >= MAX_ACTION:
        return later
    update = {
        "action": f"{earlier.action}\n{later.action}",
        "roll": later.roll or earlier.roll,
        "references": tuple(dict.fromkeys((*earlier.references, *later.references))),
    }
    return later.model_copy(update=update)


NEVER = 1e18


def _played(seat: Seat) -> Deed:
    return Deed(
        user_id=seat.user_id,
        player_name=seat.player_name,
        action=PLAYED,
        character_id=seat.character_id,
        played=True,
    )
