"""The state rules of journey-log: what each operation reads, refuses and changes."""

import sqlite3
import uuid

from . import views
from .access import SQLITE_MAX, dumped
from .checks import client_time, in_range
from .database import transaction
from .documents import check_document, check_size, unstored
from .errors import Refused
from .pois import SAMPLE_CAP, PoiAccess
from .schema import (
    AppendTurn,
    ContextQuery,
    CreateCharacter,
    ListQuery,
    NarrativeQuery,
    PutCombat,
    Quest,
)
from .times import now
from .views import Json

MAX_TURNS = 100
_ARCHIVE_MAX = 50


class Store(PoiAccess):
    """Methods take checked input and return response bodies; they raise Refused."""

    def create_character(self, user: str, body: CreateCharacter) -> Json:
        key = str(uuid.uuid4())
        with transaction(self._db, "IMMEDIATE"):
            self._refuse_duplicate(user, body)
            self._insert_character(key, user, body)
            return self._character(self._existing(key))

    def characters(self, user: str, query: ListQuery) -> Json:
        limit = query.limit if query.limit and query.limit > 0 else None
        rows = self._all(
            "SELECT * FROM characters WHERE owner = ?"
            " ORDER BY updated_at DESC, seq DESC LIMIT ? OFFSET ?",
            user,
            -1 if limit is None else min(limit, SQLITE_MAX),
            min(max(query.offset, 0), SQLITE_MAX),
        )
        return {"characters": [views.character_meta(row) for row in rows], "count": len(rows)}

    def character(self, key: str, user: str | None) -> Json:
        with self._reading(key, user) as row:
            return self._character(row)

    def context(self, key: str, user: str | None, query: ContextQuery) -> Json:
        in_range("recent_n", query.recent_n, MAX_TURNS)
        with self._reading(key, user) as row:
            turns = self._latest_turns(key, query.recent_n) if query.include_narrative else []
            sample = self._context_sample(key) if query.include_pois else []
        quest = views.loaded(row["quest"]) if query.include_quest else None
        combat = views.combat_in_utc(row)  # it is read, and may fail, even where it is not shown
        return {
            "character_id": key,
            "player_state": views.player_state(row),
            "quest": quest,
            "has_active_quest": quest is not None,
            "combat": views.combat_envelope(combat if query.include_combat else None),
            "narrative": {
                "recent_turns": [views.turn(turn) for turn in turns],
                "requested_n": query.recent_n,
                "returned_n": len(turns),
                "max_n": MAX_TURNS,
            },
            "world": {
                "pois_sample": sample,
                "pois_cap": SAMPLE_CAP,
                "include_pois": query.include_pois,
            },
            "metadata": {
                "firestore_reads": "none: kept in SQLite",
                "narrative_max_n": MAX_TURNS,
                "narrative_requested_n": query.recent_n,
                "pois_cap": SAMPLE_CAP,
                "pois_requested": query.include_pois,
            },
        }

    def append_turn(self, key: str, user: str, body: AppendTurn) -> Json:
        at = client_time("timestamp", body.timestamp, 422)
        with self._writing(key, user) as row:
            moment = now()
            turn_id = str(uuid.uuid4())
            self._db.execute(
                "INSERT INTO turns (id, character_id, player_action, gm_response, timestamp)"
                " VALUES (?, ?, ?, ?, ?)",
                (turn_id, key, body.user_action, body.ai_response, moment if at is None else at),
            )
            self._db.execute(
                "UPDATE characters SET turn_count = turn_count + 1, updated_at = ? WHERE id = ?",
                (moment, key),
            )
            stored = self._all("SELECT * FROM turns WHERE seq = last_insert_rowid()")[0]
            return {"turn": views.turn(stored), "total_turns": row["turn_count"] + 1}

    def narrative(self, key: str, user: str | None, query: NarrativeQuery) -> Json:
        n = in_range("n", query.n, MAX_TURNS)
        since = client_time("since", query.since, 400)
        with self._reading(key, user) as row:
            turns = self._latest_turns(key, n, since)
            total = row["turn_count"] if since is None else self._turns_after(key, since)
        metadata = {"requested_n": n, "returned_count": len(turns), "total_available": total}
        return {"turns": [views.turn(turn) for turn in turns], "metadata": metadata}

    def put_quest(self, key: str, user: str, body: Quest) -> Json:
        """The answer has the quest's time as it was sent, later reads have it in UTC."""
        with self._writing(key, user) as row:
            if row["quest"] is not None:
                raise Refused(409, "A quest is active: DELETE it before setting another")
            try:
                self._set_quest(key, body.stored())
            except ValueError as invalid:
                raise unstored(str(invalid)) from None
        return {"quest": body.document()}

    def quest(self, key: str, user: str | None) -> Json:
        with self._reading(key, user) as row:
            return {"quest": views.loaded(row["quest"])}

    def delete_quest(self, key: str, user: str) -> None:
        with self._writing(key, user) as row:
            if row["quest"] is not None:
                self._archive(key, row["quest"])
                self._set_quest(key, None)

    def put_combat(self, key: str, user: str, body: PutCombat) -> Json:
        combat = body.combat_state.document() if body.combat_state else None
        with self._writing(key, user):
            self._set_combat(key, combat)
        return {"active": views.is_active(combat), "state": combat}

    def combat(self, key: str, user: str | None) -> Json:
        with self._reading(key, user) as row:
            return views.combat_envelope(views.loaded(row["combat"]))

    def _refuse_duplicate(self, user: str, body: CreateCharacter) -> None:
        # The contract compares the text as sent with the collapsed text that is stored.
        twin = self._one(
            "SELECT 1 FROM characters WHERE owner = ? AND name = ? AND race = ? AND class = ?",
            user,
            body.name,
            body.race,
            body.class_,
        )
        if twin is not None:
            raise Refused(409, "This user already has a character of that name, race and class")

    def _insert_character(self, key: str, user: str, body: CreateCharacter) -> None:
        moment = now()
        texts = [_collapsed(text) for text in (body.name, body.race, body.class_)]
        prompt = _collapsed(body.adventure_prompt)
        if not all((*texts, prompt)):
            raise Refused(500, "The character could not be created: a field is blank")
        self._db.execute(
            "INSERT INTO characters (id, owner, name, race, class, status, location,"
            " adventure_prompt, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                user,
                *texts,
                "Healthy",
                dumped(_start(body)),
                prompt,
                moment,
                moment,
            ),
        )
        self._check_size(key)

    def _character(self, row: sqlite3.Row) -> Json:
        archived = self._all(
            "SELECT quest, cleared_at FROM archived_quests WHERE character_id = ? ORDER BY seq",
            row["id"],
        )
        return {"character": views.character(row, archived)}

    def _latest_turns(self, key: str, n: int, since: int | None = None) -> list[sqlite3.Row]:
        """The latest n, oldest first; `since` is strict."""
        rows = self._all(
            "SELECT * FROM turns WHERE character_id = ? AND timestamp > ?"
            " ORDER BY timestamp DESC, seq DESC LIMIT ?",
            key,
            -SQLITE_MAX if since is None else since,
            n,
        )
        return rows[::-1]

    def _turns_after(self, key: str, since: int) -> int:
        return self._number(
            "SELECT count(*) FROM turns WHERE character_id = ? AND timestamp > ?", key, since
        )

    def _archive(self, key: str, quest: str) -> None:
        self._db.execute(
            "INSERT INTO archived_quests (character_id, quest, cleared_at) VALUES (?, ?, ?)",
            (key, quest, now()),
        )
        self._db.execute(
            "DELETE FROM archived_quests WHERE seq IN (SELECT seq FROM archived_quests"
            " WHERE character_id = ? ORDER BY seq DESC LIMIT -1 OFFSET ?)",
            (key, _ARCHIVE_MAX),
        )

    def _check_size(self, key: str) -> None:
        """Refuses, and so rolls back, what has made the document too large."""
        check_size(
            self._number(
                "SELECT length(CAST(adventure_prompt || location AS BLOB))"
                " + length(CAST(coalesce(quest, '') || coalesce(combat, '') AS BLOB))"
                " + (SELECT coalesce(sum(length(CAST(quest AS BLOB))), 0)"
                " FROM archived_quests WHERE character_id = characters.id)"
                " FROM characters WHERE id = ?",
                key,
            )
        )

    def _set_quest(self, key: str, quest: Json | None) -> None:
        check_document(quest)
        self._db.execute("UPDATE characters SET quest = ? WHERE id = ?", (dumped(quest), key))
        self._check_size(key)
        self._touch(key)

    def _set_combat(self, key: str, combat: Json | None) -> None:
        check_document(combat)
        self._db.execute("UPDATE characters SET combat = ? WHERE id = ?", (dumped(combat), key))
        self._check_size(key)
        self._touch(key)


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def _start(body: CreateCharacter) -> Json:
    if body.location_id and body.location_display_name:
        return {"id": body.location_id, "display_name": body.location_display_name}
    return {"id": "origin:nexus", "display_name": "The Nexus"}
