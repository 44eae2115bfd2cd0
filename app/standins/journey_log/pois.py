"""Points of interest of a character."""

import random
import sqlite3
import uuid

from . import views
from .access import SQLITE_MAX, CharacterAccess, dumped
from .checks import client_time, in_range
from .errors import Refused
from .schema import CreatePoi, PoiPageQuery, PoiRandomQuery, PoiSummaryQuery, UpdatePoi
from .times import now
from .views import Json

SAMPLE_CAP = 3
_PAST_ALL = (SQLITE_MAX, SQLITE_MAX)


class PoiAccess(CharacterAccess):
    """The operations on points of interest."""

    def create_poi(self, key: str, user: str, body: CreatePoi) -> Json:
        at = client_time("timestamp", body.timestamp, 422)
        poi_id = str(uuid.uuid4())
        with self._writing(key, user):
            self._db.execute(
                "INSERT INTO pois (id, character_id, name, description, tags, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    poi_id,
                    key,
                    body.name,
                    body.description,
                    dumped(body.tags),
                    now() if at is None else at,
                ),
            )
            self._touch(key)
            return {"poi": views.poi(self._existing_poi(key, poi_id))}

    def update_poi(self, key: str, poi_id: str, user: str, body: UpdatePoi) -> Json:
        with self._writing(key, user):
            self._existing_poi(key, poi_id)
            self._db.execute(
                "UPDATE pois SET name = coalesce(?, name),"
                " description = coalesce(?, description),"
                " tags = coalesce(?, tags), visited = coalesce(?, visited)"
                " WHERE character_id = ? AND id = ?",
                (body.name, body.description, dumped(body.tags), body.visited, key, poi_id),
            )
            self._touch(key)
            return {"poi": views.poi(self._existing_poi(key, poi_id))}

    def delete_poi(self, key: str, poi_id: str, user: str) -> None:
        with self._writing(key, user):
            gone = self._db.execute(
                "DELETE FROM pois WHERE character_id = ? AND id = ?", (key, poi_id)
            )
            if gone.rowcount:
                self._touch(key)

    def poi_page(self, key: str, user: str | None, query: PoiPageQuery) -> Json:
        with self._reading(key, user):
            rows = self._newest_pois(key, query.limit + 1, self._page_start(key, query.cursor))
        page = rows[: query.limit]
        return {
            "pois": [views.poi(row) for row in page],
            "count": len(page),
            "cursor": page[-1]["id"] if len(rows) > query.limit else None,
        }

    def random_pois(self, key: str, user: str | None, query: PoiRandomQuery) -> Json:
        n = in_range("n", query.n, 20)
        with self._reading(key, user):
            total = self._poi_count(key)
            rows = self._all(
                "SELECT * FROM pois WHERE seq IN (SELECT seq FROM pois"
                " WHERE character_id = ? ORDER BY random() LIMIT ?)",
                key,
                n,
            )
        pois = [views.poi(row) for row in rows]
        return {"pois": pois, "count": len(pois), "requested_n": n, "total_available": total}

    def poi_summary(self, key: str, user: str | None, query: PoiSummaryQuery) -> Json:
        with self._reading(key, user):
            total = self._poi_count(key)
            rows = self._newest_pois(key, query.preview_limit, None)
        preview = [views.poi(row) for row in rows]
        return {"total_count": total, "preview": preview, "preview_count": len(preview)}

    def _context_sample(self, key: str) -> list[Json]:
        # The service samples the head of the id order, not all POIs; ids are random, so it is fair.
        rows = self._all(
            "SELECT * FROM pois WHERE character_id = ? ORDER BY id LIMIT ?", key, 3 * SAMPLE_CAP
        )
        return [views.poi(row) for row in random.sample(rows, min(SAMPLE_CAP, len(rows)))]

    def _existing_poi(self, key: str, poi_id: str) -> sqlite3.Row:
        row = self._poi(key, poi_id)
        if row is None:
            raise Refused(404, f"POI {poi_id} not found for this character")
        return row

    def _poi(self, key: str, poi_id: str) -> sqlite3.Row | None:
        return self._one("SELECT * FROM pois WHERE character_id = ? AND id = ?", key, poi_id)

    def _page_start(self, key: str, cursor: str | None) -> sqlite3.Row | None:
        if not cursor:
            return None
        row = self._poi(key, cursor)
        if row is None:
            raise Refused(400, "Unknown cursor: start again from the first page")
        return row

    def _newest_pois(self, key: str, limit: int, after: sqlite3.Row | None) -> list[sqlite3.Row]:
        start = _PAST_ALL if after is None else (after["created_at"], after["seq"])
        return self._all(
            "SELECT * FROM pois WHERE character_id = ? AND (created_at, seq) < (?, ?)"
            " ORDER BY created_at DESC, seq DESC LIMIT ?",
            key,
            *start,
            limit,
        )

    def _poi_count(self, key: str) -> int:
        return self._number("SELECT count(*) FROM pois WHERE character_id = ?", key)
