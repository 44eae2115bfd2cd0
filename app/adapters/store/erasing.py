"""Erases one user from the rows of a store.

At tables of the user's own, everything goes. At tables of others go the seat, the lines that the user has
said or alone was to read, every line of story that answers the user, the summary, and the turns of
all players, since a round and the model's context hold the words of each. What others have said stays.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from app.adapters.store.statements import Work, sql
from app.core.archive import ArchiveRefused
from app.core.rounds import Round
from app.core.tables import ANSWERS, table_key
from app.ports.archives import Erased

_OF_USER: Final = ("spending", "conversations", "contents", "outbox", "seats")
_OF_TABLE: Final = ("seats", "invitations", "lines", "rounds", "tables")


class Beside(NamedTuple):
    """Tables that not every store has: events of turns that have not ended, rate windows, and those with
    rows of a user."""

    logs: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    of_user: tuple[str, ...] = ()


class _Erasing:
    def __init__(self, user_id: str, logs: tuple[str, ...]) -> None:
        self._user = user_id
        self._logs = logs
        self.erased: dict[str, int] = {}

    def delete(self, table: str, where: str, *values: Any) -> Work[None]:
        """Counted under the table's name."""
        gone = yield from sql(f"DELETE FROM {table} WHERE {where} RETURNING 1", *values)
        self.erased[table] = self.erased.get(table, 0) + len(gone)

    def turns(self, where: str, value: str) -> Work[None]:
        """Erase the turns that the condition finds, and their events."""
        still_open = yield from sql(
            f"SELECT turn_id FROM turns WHERE {where} AND phase <> 'done' LIMIT 1", value
        )
        if still_open:
            raise ArchiveRefused(f"turn {still_open[0][0]} has not ended; try again when it has")
        for table in ("events", *self._logs):
            of_turns = f"turn_id IN (SELECT turn_id FROM turns WHERE {where})"
            yield from self.delete(table, of_turns, value)
        yield from self.delete("turns", where, value)

    def table(self, table_id: int) -> Work[None]:
        """The user's own one."""
        yield from self.turns("exclusive_key = $1", table_key(table_id))
        yield from self.delete("outbox", "subject = $1", f"sessions/{table_id}")
        yield from self.delete("costs", "account = $1", table_key(table_id))
        for table in _OF_TABLE:
            yield from self.delete(table, "table_id = $1", table_id)

    def visit(self, table_id: int) -> Work[None]:
        """Erase the user's turns, lines and invitations at a table of another user."""
        yield from self.turns("exclusive_key = $1", table_key(table_id))
        names = yield from self._names(table_id)
        lines = yield from sql(
            "SELECT line_id, data FROM lines WHERE table_id = $1 AND data IS NOT NULL", table_id
        )
        for line_id, data in lines:
            if names & {name for name, _ in json.loads(data).get(ANSWERS, ())}:
                yield from self.delete("lines", "line_id = $1", line_id)
        mine = "table_id = $1 AND (user_id = $2 OR recipient = $2)"
        yield from self.delete("lines", mine, table_id, self._user)
        mine = "table_id = $1 AND created_by = $2"
        yield from self.delete("invitations", mine, table_id, self._user)
        yield from self.delete("outbox", "subject = $1", f"sessions/{table_id}")
        yield from sql("UPDATE tables SET summary = NULL WHERE table_id = $1", table_id)
        yield from self._round(table_id)

    def _names(self, table_id: int) -> Work[set[str]]:
        """Under which the user has played there."""
        rows = yield from sql(
            "SELECT player_name FROM seats WHERE table_id = $1 AND user_id = $2"
            " UNION SELECT sender FROM lines WHERE table_id = $1 AND user_id = $2",
            table_id,
            self._user,
        )
        return {row[0] for row in rows}

    def _round(self, table_id: int) -> Work[None]:
        for (document,) in (
            yield from sql("SELECT document FROM rounds WHERE table_id = $1", table_id)
        ):
            left = Round.model_validate_json(document).without(self._user)
            yield from sql(
                "UPDATE rounds SET document = $2, due = $3 WHERE table_id = $1",
                table_id,
                left.model_dump_json(),
                left.due,
            )

    def characters(self, named: Collection[str]) -> Work[None]:
        """Erase the characters whose story no other user has."""
        rows = yield from sql(
            "SELECT character_id FROM turns WHERE user_id = $1"
            " UNION SELECT character_id FROM seats WHERE user_id = $1 AND character_id IS NOT NULL",
            self._user,
        )
        for character_id in {row[0] for row in rows} | set(named):
            others = yield from sql(
                "SELECT 1 FROM turns WHERE character_id = $1 AND user_id <> $2"
                " AND status = 'complete' LIMIT 1",
                character_id,
                self._user,
            )
            for table in () if others else ("characters", "places"):
                yield from self.delete(table, "character_id = $1", character_id)

    def costs(self) -> Work[None]:
        """Erase the costs of the user's characters."""
        for (account,) in (
            yield from sql("SELECT account FROM costs WHERE account > 'character:'")
        ):
            kind, _, rest = account.partition(":")
            if kind == "character" and rest.partition(":")[2] == self._user:
                yield from self.delete("costs", "account = $1", account)


def forget(user_id: str, characters: Collection[str], beside: Beside) -> Work[Erased]:
    """Raises `ArchiveRefused` while a turn of the user, or at a table of the user, is open."""
    erasing = _Erasing(user_id, beside.logs)
    yield from erasing.characters(characters)
    own = yield from sql("SELECT table_id FROM tables WHERE owner = $1", user_id)
    for (table_id,) in own:
        yield from erasing.table(table_id)
    sat = yield from sql(
        "SELECT table_id FROM seats WHERE user_id = $1"
        " UNION SELECT table_id FROM lines WHERE user_id = $1 OR recipient = $1",
        user_id,
    )
    for (table_id,) in sat:
        yield from erasing.visit(table_id)
    yield from erasing.turns("user_id = $1", user_id)
    yield from erasing.costs()
    for table in (*_OF_USER, *beside.of_user):
        yield from erasing.delete(table, "user_id = $1", user_id)
    for table in beside.windows:
        # A name is of parts: the rule, the user, and perhaps what of the user's.
        whole = "position(':' || $1 || ':' IN name || ':') > 0"
        yield from erasing.delete(table, whole, user_id)
    return {name: count for name, count in erasing.erased.items() if count}
