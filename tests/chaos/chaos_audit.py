"""What the journal, journey-log and the clients hold, compared when everything is over."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.adapters.store.postgres import statements
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.preparing import at_the_start
from app.adapters.store.postgres.rows import entries_of
from app.adapters.store.sqlite import queries
from app.core.events import LOST_END, TERMINAL_TYPES, Entry

from fakes.journey_log import Write
from serving import payload, seq_of

Json = dict[str, Any]
ROLES = ("lost", "duplicated", "reordered", "broken")


@dataclass(frozen=True)
class Seen:
    """Frames that one client read from one connection."""

    turn_id: str
    after: int
    frames: tuple[bytes, ...]


@dataclass
class Audit:
    """`lost`, `duplicated`, `reordered`: writes or turns. `broken`: a log or journal that is wrong."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    writes: int = 0

    @property
    def findings(self) -> list[str]:
        return [f"{role}: {line}" for role in ROLES for line in getattr(self, role)]

    @property
    def turns(self) -> int:
        return sum(self.statuses.values())

    def figures(self) -> str:
        counted = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        wrong = ", ".join(f"{len(getattr(self, role))} {role}" for role in ROLES)
        return f"{self.turns} turns ({counted}), {self.writes} writes: {wrong}"


@dataclass(frozen=True)
class Stored:
    turn_id: str
    character_id: str
    status: str
    phase: str
    request_id: str
    plan: list[Json]
    entries: list[Entry]

    @property
    def events(self) -> list[Json]:
        return [json.loads(data) for _, _, data in self.entries]


def stored_turns(store: Path | str) -> list[Stored]:
    """In the order of their admission; `store`: a file of SQLite or a URL of PostgreSQL."""
    if isinstance(store, str):
        return _in_postgres(Database(store))
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        found = db.execute(
            "SELECT turn_id, character_id, status, phase, request, recording"
            " FROM turns ORDER BY created_at, rowid"
        ).fetchall()
        return [
            Stored(
                turn_id=row[0],
                character_id=row[1],
                status=row[2],
                phase=row[3],
                request_id=json.loads(row[4])["request_id"],
                plan=_plan(row[5]),
                entries=queries.entries(db, row[0]),
            )
            for row in found
        ]


def _in_postgres(database: Database) -> list[Stored]:
    columns = "turn_id, character_id, status, phase, request, recording"
    rows = at_the_start(database, f"SELECT {columns} FROM turns ORDER BY number")
    parts: dict[str, list[Any]] = defaultdict(list)
    ids = [row["turn_id"] for row in rows]
    for part in at_the_start(database, statements.ENTRIES_OF_MANY, ids):
        parts[part["turn_id"]].append(part)
    return [
        Stored(
            turn_id=row["turn_id"],
            character_id=row["character_id"],
            status=row["status"],
            phase=row["phase"],
            request_id=json.loads(row["request"])["request_id"],
            plan=_plan(row["recording"]),
            entries=entries_of(parts[row["turn_id"]]),
        )
        for row in rows
    ]


def _plan(packed: bytes | None) -> list[Json]:
    plan = json.loads(zlib.decompress(packed)).get("plan") if packed else None
    return [] if plan is None else list(plan["writes"])


def audit(
    store: Path | str,
    writes: Sequence[Write],
    seen: Iterable[Seen] = (),
    accepted: Iterable[str] = (),
) -> Audit:
    """`accepted`: every turn id that a client was given."""
    report = Audit(writes=len(writes))
    turns = stored_turns(store)
    by_request: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_request[write.headers["x-request-id"]].append(write)
    for turn in turns:
        report.statuses[turn.status] += 1
        _log(report, turn)
        _writes(report, turn, by_request.pop(turn.request_id, []))
    for request_id, strays in by_request.items():
        report.broken.append(f"{len(strays)} writes of request {request_id}, which has no turn")
    _order(report, turns, writes)
    known = {turn.turn_id: turn for turn in turns}
    report.lost += [f"turn {turn_id} was accepted" for turn_id in set(accepted) - known.keys()]
    for sight in seen:
        if sight.turn_id in known:
            _sight(report, known[sight.turn_id], sight)
    return report


def _log(report: Audit, turn: Stored) -> None:
    """The journal is closed, its entries are numbered without a gap, one terminal event is last."""
    if turn.phase != "done":
        report.lost.append(f"turn {turn.turn_id} is still {turn.phase}")
        return
    numbers = [seq for seq, _, _ in turn.entries]
    whole = list(range(1, len(numbers) + 1))
    if numbers not in (whole, [*whole[:-1], LOST_END]):
        report.broken.append(f"turn {turn.turn_id} has entries {numbers}")
    kinds = [event["type"] for event in turn.events]
    terminals = [kind for kind in kinds if kind in TERMINAL_TYPES]
    if terminals != kinds[-1:] or terminals != [turn.status]:
        report.broken.append(f"turn {turn.turn_id} ({turn.status}) ended with {terminals}")
    if turn.events and turn.events[-1].get("error_type") == "internal_error":
        report.broken.append(f"turn {turn.turn_id} failed unexpectedly")


def _kind(write: Json) -> str:
    return "quest_delete" if write["method"] == "DELETE" else str(write["subsystem"])


def _writes(report: Audit, turn: Stored, made: list[Write]) -> None:
    """journey-log holds what the receipts call a success, once, in order, and nothing else."""
    receipts = [event for event in turn.events if event["type"] == "write"]
    planned = turn.plan if turn.status == "complete" else []
    if len(receipts) != len(planned):
        report.broken.append(f"turn {turn.turn_id}: {len(receipts)} of {len(planned)} receipts")
    meant = [write for write, receipt in zip(planned, receipts, strict=False) if receipt["success"]]
    kinds = [write.kind for write in made]
    for write in meant:
        if _kind(write) not in kinds:
            report.lost.append(f"turn {turn.turn_id}: {_kind(write)}")
    for kind in set(kinds):
        if kinds.count(kind) > 1:
            report.duplicated.append(f"turn {turn.turn_id}: {kinds.count(kind)} times {kind}")
    for kind in set(kinds) - {_kind(write) for write in meant}:
        report.broken.append(f"turn {turn.turn_id} ({turn.status}): {kind} without a receipt")
    bodies = {_kind(write): write["body"] for write in meant}
    for done in made:
        if done.kind in bodies and done.body != bodies[done.kind]:
            report.broken.append(f"turn {turn.turn_id}: {done.kind} differs from its plan")
    if turn.status == "complete":
        _narrative(report, turn, made)


def _narrative(report: Audit, turn: Stored, made: list[Write]) -> None:
    streamed = "".join(event["content"] for event in turn.events if event["type"] == "token")
    for write in made:
        if write.kind == "narrative" and (write.body or {})["ai_response"] != streamed:
            report.broken.append(f"turn {turn.turn_id}: the narrative is not the streamed one")


def _order(report: Audit, turns: list[Stored], writes: Sequence[Write]) -> None:
    """Writes of a turn in the order of its plan, and of a character turn by turn."""
    places: dict[tuple[str, str], tuple[int, int]] = {}
    for number, turn in enumerate(turns):
        for at, planned in enumerate(turn.plan):
            places[turn.request_id, _kind(planned)] = (number, at)
    newest: dict[str, tuple[int, int]] = {}
    for write in writes:
        place = places.get((write.headers["x-request-id"], write.kind), (-1, -1))
        if place < newest.get(write.character_id, (-1, -1)):
            report.reordered.append(f"{write.kind} of turn {turns[place[0]].turn_id}")
        newest[write.character_id] = place


def _sight(report: Audit, turn: Stored, sight: Seen) -> None:
    """What a client saw is what can be replayed, unless the turn was interrupted."""
    kept = {seq: data for seq, _, data in turn.entries}
    numbers = [seq_of(frame) for frame in sight.frames]
    lost = turn.entries[-1][0] == LOST_END if turn.entries else False
    due = list(range(sight.after + 1, sight.after + 1 + len(numbers)))
    if numbers != due and not (lost and numbers == [*due[:-1], LOST_END]):
        report.broken.append(f"turn {turn.turn_id}: read {numbers} after {sight.after}")
    for number, frame in zip(numbers, sight.frames, strict=True):
        data = payload(frame)
        if kept.get(number, data if lost else b"") != data:
            report.broken.append(f"turn {turn.turn_id}: entry {number} was seen differently")
