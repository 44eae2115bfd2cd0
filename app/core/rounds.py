"""Rounds of a table: the players' actions are collected, then one turn plays all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.core.table_prompt import Deed
from app.core.tables import Seat

PLAYED = "(away; the Dungeon Master plays)"
"""The action of a player whom the model plays."""

MAX_KEYS = 64

Absent = Literal["skip", "model"]


class Round(BaseModel):
    """The round that is being collected. It is open from its first deed on.

    `number` counts from 1. `key`: idempotency key of the turn that plays it, for `user_id`, who acted
    first. `until`: epoch seconds, None for no deadline. `away`: users for whom no round waits. `closed`: it
    takes no more deeds, and waits to be played.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = 1
    key: str = ""
    user_id: str = ""
    until: float | None = None
    deeds: tuple[Deed, ...] = ()
    away: tuple[str, ...] = ()
    closed: bool = False
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
        """Epoch seconds from which on it may be played; None as long as nobody has acted."""
        if not self.opened:
            return None
        if self.closed:
            return 0.0
        return NEVER if self.until is None else self.until

    def begun(self, user_id: str, key: str, until: float | None) -> Round:
        """Open, unless it was already."""
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
        return self.model_copy(update={"deeds": (*others, deed), "away": away, "keys": keys})

    def with_away(self, user_id: str, *, away: bool) -> Round:
        others = tuple(one for one in self.away if one != user_id)
        return self.model_copy(update={"away": (*others, user_id) if away else others})

    def without(self, user_id: str) -> Round:
        """Without the deeds of the user; not open if no deed is left."""
        deeds = tuple(one for one in self.deeds if one.user_id != user_id)
        away = tuple(one for one in self.away if one != user_id)
        keys = tuple(one for one in self.keys if one[0] != user_id)
        if not deeds:
            return Round(number=self.number, away=away, keys=keys)
        first = deeds[0].user_id if self.user_id == user_id else self.user_id
        return self.model_copy(
            update={"deeds": deeds, "away": away, "user_id": first, "keys": keys}
        )

    def waits_for(self, players: Sequence[Seat]) -> list[Seat]:
        """The seated players for whom the round waits."""
        done = {deed.user_id for deed in self.deeds} | set(self.away)
        return [seat for seat in players if seat.user_id not in done]

    def is_over(self, players: Sequence[Seat], now: float) -> bool:
        """Everybody has acted, or the deadline has passed."""
        if not self.opened:
            return False
        return not self.waits_for(players) or (self.until is not None and now >= self.until)

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

    def next(self) -> Round:
        """The round behind this one."""
        return Round(number=self.number + 1, away=self.away, keys=self.keys)


NEVER = 1e18


def _played(seat: Seat) -> Deed:
    return Deed(
        user_id=seat.user_id,
        player_name=seat.player_name,
        action=PLAYED,
        character_id=seat.character_id,
        played=True,
    )
