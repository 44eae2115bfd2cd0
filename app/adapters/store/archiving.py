"""One character in the rows of a store: read as a whole, or added to what is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from app.adapters.store.packing import pack, packed, recording_of, unpack
from app.adapters.store.statements import Work, sql
from app.core.archive import Archive, ArchivedContent, ArchivedTurn, ArchiveRefused
from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.events import type_of
from app.ports.archives import Added
from app.ports.turn import character_key

_TURNS: Final = (
    "SELECT turn_id, status, created_at, finished_at, body_hash, step, intent, request, result,"
    " recording FROM turns WHERE character_id = $1 AND user_id = $2 AND exclusive_key = $3"
    " AND phase = 'done' ORDER BY created_at, turn_id"
)
_INSERT: Final = (
    "INSERT INTO turns (turn_id, user_id, character_id, exclusive_key, status, created_at,"
    " finished_at, body_hash, step, intent, request, result, recording, phase, owner, fence)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'done', '', 1)"
)
_CONTENT: Final = "content_id, user_id, kind, parent_id, created_at, body"


def players(character_id: str) -> Work[list[str]]:
    """Users who have completed a turn of it, in the order of their ids."""
    rows = yield from sql(
        "SELECT DISTINCT user_id FROM turns WHERE character_id = $1 AND status = 'complete'",
        character_id,
    )
    return sorted(row[0] for row in rows)


# -- reading --------------------------------------------------------------------------------------


def archive_of(user_id: str, character_id: str) -> Work[Archive]:
    """Raises `ArchiveRefused` while a turn of the character is open."""
    open_turns = yield from sql(
        "SELECT turn_id FROM turns WHERE character_id = $1 AND user_id = $2 AND phase <> 'done'",
        character_id,
        user_id,
    )
    if open_turns:
        raise ArchiveRefused(f"turn {open_turns[0][0]} has not ended; try again when it has")
    key = character_key(character_id, user_id)
    turns = []
    for row in (yield from sql(_TURNS, character_id, user_id, key)):
        turns.append((yield from _turn(row)))
    progress = yield from _progress(character_id)
    places = yield from sql("SELECT name FROM places WHERE character_id = $1", character_id)
    return Archive(
        character_id=character_id,
        user_id=user_id,
        progress=progress,
        cost_micros=(yield from _cost(key)),
        places=tuple(sorted(row[0] for row in places)),
        turns=tuple(turns),
        contents=(yield from _contents(user_id, turns)),
    )


def _turn(row: Sequence[Any]) -> Work[ArchivedTurn]:
    turn_id, status, created_at, finished_at, body_hash, step, intent, request, result, kept = row
    parts = yield from sql(
        "SELECT first, data FROM events WHERE turn_id = $1 ORDER BY part", turn_id
    )
    entries = [entry for first, data in parts for entry in unpack(first, data)]
    return ArchivedTurn(
        turn_id=turn_id,
        status=status,
        created_at=created_at,
        finished_at=finished_at,
        body_hash=(body_hash or b"").hex(),
        step=step,
        intent=intent,
        request=json.loads(request) | {"idempotency_key": None},
        result=None if result is None else json.loads(result),
        recording=recording_of(kept),
        events=tuple((number, data.decode()) for number, _, data in entries),
    )


def _progress(character_id: str) -> Work[CharacterProgress | None]:
    rows = yield from sql("SELECT progress FROM characters WHERE character_id = $1", character_id)
    return CharacterProgress.model_validate_json(rows[0][0]) if rows else None


def _cost(account: str) -> Work[int]:
    rows = yield from sql("SELECT micros FROM costs WHERE account = $1", account)
    return int(rows[0][0]) if rows else 0


def _contents(user_id: str, turns: Sequence[ArchivedTurn]) -> Work[tuple[ArchivedContent, ...]]:
    """The content that the turns refer to, with the content that it belongs to."""
    wanted = [name for turn in turns for name in turn.request.get("references") or ()]
    found: dict[str, ArchivedContent] = {}
    while wanted:
        content_id = wanted.pop()
        if content_id in found:
            continue
        for row in (yield from _content(content_id)):
            if row[1] == user_id:
                found[content_id] = _archived(row)
                wanted += [row[3]] if row[3] else []
    return tuple(found[name] for name in sorted(found))


def _content(content_id: str) -> Work[list[Sequence[Any]]]:
    return sql(f"SELECT {_CONTENT} FROM contents WHERE content_id = $1", content_id)


def _archived(row: Sequence[Any]) -> ArchivedContent:
    content_id, _, kind, parent_id, created_at, body = row
    return ArchivedContent(
        content_id=content_id,
        kind=kind,
        parent_id=parent_id,
        created_at=created_at,
        body=json.loads(body),
    )


# -- adding ---------------------------------------------------------------------------------------


def add(archive: Archive) -> Work[Added]:
    """Raises `ArchiveRefused` where something else is here."""
    yield from _add_progress(archive)
    yield from _add_cost(archive)
    added = []
    for turn in archive.turns:
        added.append((yield from _add_turn(archive, turn)))
    contents = []
    for content in archive.contents:
        contents.append((yield from _add_content(archive.user_id, content)))
    return Added(sum(added), sum(contents))


def _add_progress(archive: Archive) -> Work[None]:
    known = yield from _progress(archive.character_id)
    if known is not None and known != archive.progress:
        raise ArchiveRefused(
            f"character {archive.character_id} is here, and its story is not that of the file"
        )
    if known is None and archive.progress is not None:
        yield from sql(
            "INSERT INTO characters (character_id, progress) VALUES ($1, $2)",
            archive.character_id,
            archive.progress.model_dump_json(),
        )
    for place in archive.places:
        yield from sql(
            "INSERT INTO places (character_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            archive.character_id,
            place,
        )


def _add_cost(archive: Archive) -> Work[None]:
    """Add the archive's cost. A larger cost that is stored already stays: the character was played here
    since, or the file was imported before."""
    account = character_key(archive.character_id, archive.user_id)
    if archive.cost_micros > (yield from _cost(account)):
        yield from sql(
            "INSERT INTO costs (account, micros) VALUES ($1, $2)"
            " ON CONFLICT (account) DO UPDATE SET micros = excluded.micros",
            account,
            archive.cost_micros,
        )


def _add_turn(archive: Archive, turn: ArchivedTurn) -> Work[bool]:
    known = yield from sql(
        "SELECT user_id, character_id, status, created_at, request, result FROM turns"
        " WHERE turn_id = $1",
        turn.turn_id,
    )
    if not known:
        yield from _insert(archive, turn)
        return True
    *same, request, result = known[0]
    request = json.loads(request) | {"idempotency_key": None}
    result = None if result is None else json.loads(result)
    given = [archive.user_id, archive.character_id, turn.status, turn.created_at]
    if [*same, request, result] != [*given, turn.request, turn.result]:
        raise ArchiveRefused(f"turn {turn.turn_id} is here, and is another one than in the file")
    return False


def _insert(archive: Archive, turn: ArchivedTurn) -> Work[None]:
    key = character_key(archive.character_id, archive.user_id)
    yield from sql(
        _INSERT,
        *(turn.turn_id, archive.user_id, archive.character_id, key),
        *(turn.status, turn.created_at, turn.finished_at),
        *(bytes.fromhex(turn.body_hash), turn.step, turn.intent, dump(turn.request)),
        None if turn.result is None else dump(turn.result),
        None if turn.recording is None else packed(turn.recording),
    )
    entries = [(number, type_of(data.encode()), data.encode()) for number, data in turn.events]
    for part, (first, data) in enumerate(pack(entries), start=1):
        statement = "INSERT INTO events (turn_id, part, first, data) VALUES ($1, $2, $3, $4)"
        yield from sql(statement, turn.turn_id, part, first, data)


def _add_content(user_id: str, content: ArchivedContent) -> Work[bool]:
    known = yield from _content(content.content_id)
    if known:
        if known[0][1] != user_id or _archived(known[0]) != content:
            raise ArchiveRefused(f"content {content.content_id} is here, and is another one")
        return False
    statement = f"INSERT INTO contents ({_CONTENT}) VALUES ($1, $2, $3, $4, $5, $6)"
    named = (content.content_id, user_id, content.kind, content.parent_id)
    yield from sql(statement, *named, content.created_at, dump(content.body))
    return True
