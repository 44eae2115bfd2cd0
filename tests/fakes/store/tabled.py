"""What the in-memory store keeps of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.adapters.store.retention import KEY_SECONDS
from app.core.money import Amount
from app.core.tables import KIND, DeedKey, Invitation, Line, NewLine, Seat, Summary, Table
from app.errors import IdempotencyKeyReused
from app.ports.store import Ending


@dataclass(slots=True)
class Tables:
    """All tables of one database. `count` and `said` are the last numbers given."""

    count: int = 0
    said: int = 0
    found: dict[int, Table] = field(default_factory=dict)
    seats: dict[tuple[int, str], Seat] = field(default_factory=dict)
    invitations: dict[tuple[int, bytes], Invitation] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    rounds: dict[int, str] = field(default_factory=dict)
    summaries: dict[int, Summary] = field(default_factory=dict)
    rolls: dict[int, int] = field(default_factory=dict)
    reservations: dict[str, tuple[int, str, Amount]] = field(default_factory=dict)
    """Table, process and amount."""
    attendance: dict[str, dict[int, Mapping[str, str]]] = field(default_factory=dict)
    """By process and table: names by user."""
    leading: dict[int, str] = field(default_factory=dict)
    """By table: the process to which its dungeon master is connected."""
    deeds: dict[tuple[str, str], tuple[bytes, Line]] = field(default_factory=dict)

    def say(self, table_id: int, said: NewLine, now: float) -> Line:
        self.said += 1
        self.lines.append(Line(self.said, table_id, said, now))
        return self.lines[-1]

    def deed(self, key: DeedKey, now: float) -> Line | None:
        body_hash, line = self.deeds.get(key[:2], (b"", None))
        if line not in self.lines or line.created_at <= now - KEY_SECONDS:
            return None
        if body_hash != key.body_hash:
            raise IdempotencyKeyReused
        return line

    def say_deed(self, table_id: int, said: NewLine, now: float, key: DeedKey | None) -> Line:
        if said.roll is not None:
            self.rolls[table_id] = said.roll
        line = self.say(table_id, said, now)
        if key is not None:
            self.deeds[key[:2]] = key.body_hash, line
        return line

    def next_roll(self, table_id: int) -> int:
        return self.rolls.get(table_id, 0) + 1

    def settle(self, exclusive_key: str, reserved: Amount, ending: Ending, now: float) -> None:
        """Charge the table of a turn that ends."""
        kind, _, number = exclusive_key.partition(":")
        table = self.found.get(int(number)) if kind == KIND else None
        if table is None:
            return
        used = (reserved if ending.spent is None else ending.spent).tokens
        self.found[table.id] = replace(table, tokens_used=table.tokens_used + used)
        for said in ending.lines:
            self.say(table.id, said, now)
