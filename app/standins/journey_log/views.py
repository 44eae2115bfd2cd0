"""Response shapes, built from stored rows."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from .errors import Refused
from .times import iso, parse_time

Json = dict[str, Any]


def loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def identity(row: sqlite3.Row) -> Json:
    return {"name": row["name"], "race": row["race"], "class": row["class"]}


def player_state(row: sqlite3.Row) -> Json:
    return {
        "identity": identity(row),
        "status": row["status"],
        "equipment": [],
        "inventory": [],
        "location": loaded(row["location"]),
        "additional_fields": {},
    }


def character(row: sqlite3.Row, archived: Iterable[sqlite3.Row]) -> Json:
    key = row["id"]
    return {
        "character_id": key,
        "owner_user_id": row["owner"],
        "adventure_prompt": row["adventure_prompt"],
        "player_state": player_state(row),
        "world_pois_reference": f"characters/{key}/pois",
        "narrative_turns_reference": f"characters/{key}/narrative_turns",
        "schema_version": "1.0.0",
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
        "world_state": None,
        "world_pois": [],
        "active_quest": loaded(row["quest"]),
        "archived_quests": [
            {"quest": loaded(entry["quest"]), "cleared_at": iso(entry["cleared_at"])}
            for entry in archived
        ],
        "combat_state": combat_in_utc(row),
        "additional_metadata": {},
    }


def character_meta(row: sqlite3.Row) -> Json:
    return {
        "character_id": row["id"],
        **identity(row),
        "status": row["status"],
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }


def turn(row: sqlite3.Row) -> Json:
    return {
        "turn_id": row["id"],
        "turn_number": None,
        "player_action": row["player_action"],
        "gm_response": row["gm_response"],
        "timestamp": iso(row["timestamp"]),
        "game_state_snapshot": None,
        "metadata": None,
    }


def poi(row: sqlite3.Row) -> Json:
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "created_at": iso(row["created_at"]),
        "tags": loaded(row["tags"]),
    }


def is_active(combat: Json | None) -> bool:
    return combat is not None and any(enemy["status"] != "Dead" for enemy in combat["enemies"])


def combat_envelope(combat: Json | None) -> Json:
    """A finished combat is hidden."""
    active = is_active(combat)
    return {"active": active, "state": combat if active else None}


def combat_in_utc(row: sqlite3.Row) -> Json | None:
    """As the character and the context show it. Refuses a start that is no time, which was stored."""
    combat: Json | None = loaded(row["combat"])
    if combat is not None:
        try:
            combat["started_at"] = iso(parse_time(combat["started_at"]))
        except ValueError:
            raise Refused(500, "The character could not be read") from None
    return combat
