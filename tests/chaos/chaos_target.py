"""A journey-log that misbehaves by a seeded schedule, and a model whose intents cause every write."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from typing import Any

from fakes.journey_log import (
    Answer,
    FakeJourneyLog,
    Fault,
    answers,
    drops,
    hangs,
    late,
    resets,
    scripted,
)
from fakes.model import COMBAT_START, QUEST_OFFER, FakeModel, Script, outcome_text
from fakes.server import Request

WRITE_KINDS = {
    "quest": "quest write",
    "quest_delete": "quest write",
    "combat": "combat write",
    "poi": "poi write",
    "narrative": "narrative write",
}
LATEST = 0.45  # seconds for which a commit is held back at most
INTENDED = "x-intended-at"
"""The header with the time before which a write was surely not sent."""


class ChaoticJourneyLog(FakeJourneyLog):
    """`trouble` is the part of the writes that meet a fault. `arrived` is called, in the server's
    thread, with the kind of each write as it arrives, before anything is done about it.

    The service relies on it that a write lands within `settle` seconds or never: what a busy machine
    has made later than that is not committed.
    """

    def __init__(self, seed: int, trouble: float, settle: float = math.inf) -> None:
        super().__init__()
        self.settle = settle
        self._draw = random.Random(seed)
        self._trouble = trouble
        self.arrived: Callable[[str], None] = lambda kind: None

    def _next_fault(self, kind: str, character_id: str) -> Fault:
        if kind in WRITE_KINDS:
            self.arrived(WRITE_KINDS[kind])
            scripted = self._waiting(kind)
            return scripted or self._write_fault()
        if kind.endswith("_get") and self._draw.random() < self._trouble / 2:
            return self._draw.choice([drops(), resets(), answers(503)])
        return super()._next_fault(kind, character_id)

    def _carry_out(self, kind: str, request: Request, character_id: str) -> Answer:
        intended = request.headers.get(INTENDED) if kind in WRITE_KINDS else None
        if intended and time.time() > float(intended) + self.settle:
            return 503, scripted(503).body()
        return super()._carry_out(kind, request, character_id)

    def _waiting(self, kind: str) -> Fault | None:
        with self.changed:
            return self._faults[kind].popleft() if self._faults[kind] else None

    def _write_fault(self) -> Fault:
        draw = self._draw
        if draw.random() >= self._trouble:
            return Fault()
        some_time = draw.uniform(0.02, LATEST)
        return draw.choice(
            [
                late(seconds=some_time, hold="answer"),
                late(seconds=some_time),
                drops(commit=True),
                resets(commit=True),
                drops(),
                answers(503),
                answers(503, commit=True),
                hangs(commit=True),
                Fault(commit=True, end="hang", seconds=some_time),
                Fault(commit=True, end="drop", seconds=some_time),
            ]
        )


class HeldJourneyLog(ChaoticJourneyLog):
    """Without any fault of its own."""

    def __init__(self) -> None:
        super().__init__(0, 0.0)


# -- what is played -------------------------------------------------------------------------------

LINES = (
    "The bell tolls under the water, and something answers it. ",
    "Élise lowers the lantern — “nine”, she says. ",
    "A chain drags over stone; the dark holds its breath. 🔥 ",
)


def wish(journey_log: FakeJourneyLog, character_id: str, number: int) -> dict[str, Any]:
    """What the next turn of the character has to do so that all four writes are made."""
    shown = journey_log.character(character_id)
    fighting = any(e["status"] != "Dead" for e in (shown["combat_state"] or {}).get("enemies", []))
    return {
        "quest": "offer" if shown["active_quest"] is None else "complete",
        "combat": ("continue" if number % 3 else "end") if fighting else "start",
        "place": f"The Vault of {character_id[:8]} {number}",
        "lines": number % 3 + 1,
        "number": number,
    }


def answer_of(request: Request) -> Script:
    """The answer to a turn whose action is a wish in JSON."""
    asked = _wish_in(request.body.decode())
    poi = {
        "action": "create",
        "name": asked["place"],
        "description": "Its stones hum.",
        "reference_tags": ["vault"],
    }
    combat = COMBAT_START | {"action": asked["combat"]}
    narrative = f"Turn {asked['number']}. " + "".join(LINES[: asked["lines"]])
    text = outcome_text(
        narrative, quest=QUEST_OFFER | {"action": asked["quest"]}, combat=combat, poi=poi
    )
    return Script(text, token_chars=20, per_write=2, pace=0.001)


def _wish_in(body: str) -> dict[str, Any]:
    """The newest wish in the prompt; however often JSON was put into JSON on its way."""
    plain = body.replace("\\", "")
    at = plain.rindex('{"quest":')
    found, _ = json.JSONDecoder().raw_decode(plain[at:])
    assert isinstance(found, dict)
    return found


def writing_model() -> FakeModel:
    return FakeModel(answer_of)
