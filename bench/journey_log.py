"""A journey-log that knows everybody: the calls of a turn, and those that look for a lost write.

It keeps what was written, for the newest characters, and counts what came in the wrong order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bench.outcome import TURN
from bench.wire import Request, answer, to_json

MOST_CHARACTERS = 20_000
_ORDER: Final = {"quest": 0, "combat": 1, "poi": 2, "narrative": 3}
_PAST_TURNS = 20


def _context() -> tuple[bytes, bytes]:
    """Around the character's id."""
    turns = [
        {
            "turn_id": f"00000000-0000-4000-8000-{number:012d}",
            "turn_number": None,
            "player_action": f"I go down {number} more steps and hold the lantern over the water.",
            "gm_response": TURN.narrative[:320],
            "timestamp": f"2026-01-01T00:{number:02d}:00Z",
            "game_state_snapshot": None,
            "metadata": None,
        }
        for number in range(_PAST_TURNS)
    ]
    context = {
        "character_id": "@",
        "player_state": {
            "identity": {"name": "Arin", "race": "Human", "class": "Ranger"},
            "status": "Healthy",
            "equipment": [{"name": "Bow", "damage": "1d8", "special_effects": None}],
            "inventory": [{"name": "Rope", "quantity": 1, "effect": None}],
            "location": {"id": "stair:top", "display_name": "The Top of the Stair"},
            "additional_fields": {},
        },
        "quest": None,
        "has_active_quest": False,
        "combat": {"active": False, "state": None},
        "narrative": {
            "recent_turns": turns,
            "requested_n": _PAST_TURNS,
            "returned_n": _PAST_TURNS,
            "max_n": 100,
        },
        "world": {"pois_sample": [], "pois_cap": 3, "include_pois": True},
        "metadata": {"firestore_reads": "2", "narrative_max_n": 100, "pois_cap": 3},
    }
    before, _, after = to_json(context).partition(b"@")
    return before, after


_BEFORE, _AFTER = _context()
_NOT_FOUND = answer(404, to_json({"detail": "Not Found"}))
_TAKEN: Final = {
    "quest": answer(200, to_json({"quest": {"name": "The Tenth Knot"}})),
    "combat": answer(200, to_json({"active": True, "state": None})),
    "poi": answer(201, to_json({"poi": {"id": "poi", "name": "The Knotted Stair"}})),
    "narrative": answer(201, to_json({"turn": {"turn_id": "turn"}, "total_turns": 1})),
}
_WRITES: Final = {
    (b"PUT", b"quest"): "quest",
    (b"DELETE", b"quest"): "quest",
    (b"PUT", b"combat"): "combat",
    (b"POST", b"pois"): "poi",
    (b"POST", b"narrative"): "narrative",
}


@dataclass(slots=True)
class _Character:
    """Bodies as they came: most of them are never looked at again."""

    last: int = -1
    quest: bytes = b""
    combat: bytes = b""
    pois: list[bytes] = field(default_factory=list)
    turns: list[bytes] = field(default_factory=list)


class JourneyLog:
    def __init__(self) -> None:
        self._characters: dict[bytes, _Character] = {}
        self._reads: dict[bytes, Callable[[_Character, bytes], Any]] = {
            b"narrative": self._narrative,
            b"pois": self._pois,
            b"quest": lambda character, _: {"quest": _read(character.quest)},
            b"combat": self._combat,
        }
        self.counts: Counter[str] = Counter()

    def summary(self) -> dict[str, int]:
        """Writes by subsystem since the last time, and `out_of_order`."""
        counts, self.counts = dict(self.counts), Counter()
        self._characters.clear()
        return {"out_of_order": 0, **dict.fromkeys(_ORDER, 0), **counts}

    def answer(self, request: Request) -> bytes:
        parts = request.path.split(b"/", 3)
        if len(parts) != 4 or parts[1] != b"characters":
            return _NOT_FOUND
        character_id, rest = parts[2], parts[3]
        if rest == b"context":
            return answer(200, _BEFORE + character_id + _AFTER)
        subsystem = _WRITES.get((request.method, rest))
        if subsystem is not None:
            self._keep(self._character(character_id), subsystem, request.body)
            return answer(204) if request.method == b"DELETE" else _TAKEN[subsystem]
        read = self._reads.get(rest)
        if request.method != b"GET" or read is None:
            return _NOT_FOUND
        return answer(200, to_json(read(self._character(character_id), request.query)))

    def _character(self, character_id: bytes) -> _Character:
        found = self._characters.get(character_id)
        if found is None:
            found = self._characters[character_id] = _Character()
            if len(self._characters) > MOST_CHARACTERS:
                del self._characters[next(iter(self._characters))]
        return found

    def _keep(self, character: _Character, subsystem: str, body: bytes) -> None:
        place = _ORDER[subsystem]
        self.counts[subsystem] += 1
        self.counts["out_of_order"] += place <= character.last
        character.last = -1 if subsystem == "narrative" else place
        match subsystem:
            case "quest":
                character.quest = body
            case "combat":
                character.combat = body
            case "poi":
                character.pois = [*character.pois[-99:], body]
            case _:
                character.turns = [*character.turns[-99:], body]

    # -- what was written -------------------------------------------------------------------------

    def _narrative(self, character: _Character, query: bytes) -> Any:
        """All of them, whatever `since` asks: a marker is looked for among them."""
        turns = [
            {
                "turn_id": f"turn-{number}",
                "player_action": turn["user_action"],
                "gm_response": turn["ai_response"],
                "timestamp": turn["timestamp"],
            }
            for number, turn in enumerate(map(_read, character.turns))
        ]
        counts = {"requested_n": 100, "returned_count": len(turns), "total_available": len(turns)}
        return {"turns": turns, "metadata": counts}

    def _pois(self, character: _Character, query: bytes) -> Any:
        pois = [
            {"id": f"poi-{number}", "created_at": poi["timestamp"], **poi}
            for number, poi in enumerate(map(_read, character.pois))
        ]
        return {"pois": pois[::-1], "count": len(pois), "cursor": None}

    def _combat(self, character: _Character, query: bytes) -> Any:
        state = (_read(character.combat) or {}).get("combat_state")
        return {"active": state is not None, "state": state}


def _read(body: bytes) -> Any:
    return json.loads(body) if body else None
