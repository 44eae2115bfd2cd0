"""Tables, seats and lines in the rows of a store."""

from __future__ import annotations

import json
from typing import Any, Final

from app.core.tables import DeedKey, Line, NewLine, Seat, Table, TableRules
from app.errors import IdempotencyKeyReused

_LED: Final = (
    "SELECT 1 FROM seats s WHERE s.table_id = tables.table_id AND s.role = 'dm' AND s.present"
)
_HAS_DM: Final = f"EXISTS ({_LED}) AS has_dm"
TABLE: Final = (
    f"table_id, name, dm_name, owner, created_at, is_active, rules, tokens_used, {_HAS_DM}"
)
SEAT: Final = "user_id, player_name, role, character_id, joined_at, present, removed"
SAID: Final = "sender, content, message_type, user_id, turn_id, recipient, data"
LINE: Final = f"line_id, table_id, {SAID}, created_at"
DEED: Final = f"body_hash, {LINE}"


def table_from(row: tuple[Any, ...]) -> Table:
    """The table of a row with the columns `TABLE`."""
    number, name, dm_name, owner, created_at, is_active, rules, used, has_dm = row
    parsed = TableRules.model_validate_json(rules)
    return Table(
        number, name, dm_name, owner, created_at, bool(is_active), parsed, used, bool(has_dm)
    )


def seat_from(row: tuple[Any, ...]) -> Seat:
    """The seat of a row with the columns `SEAT`."""
    user_id, player_name, role, character_id, joined_at, present, removed = row
    return Seat(user_id, player_name, role, character_id, joined_at, bool(present), bool(removed))


def line_from(row: tuple[Any, ...]) -> Line:
    """The line of a row with the columns `LINE`."""
    number, table_id, sender, content, kind, user_id, turn_id, recipient, data, created_at = row
    parsed = None if data is None else json.loads(data)
    said = NewLine(sender, content, kind, user_id, turn_id, recipient, parsed)
    return Line(number, table_id, said, created_at)


def deed_from(row: tuple[Any, ...], key: DeedKey) -> Line:
    """The line of a row with the columns `DEED`. Raises `IdempotencyKeyReused`."""
    body_hash, *line = row
    if body_hash != key.body_hash:
        raise IdempotencyKeyReused
    return line_from(tuple(line))
