"""Phase 1 of a table's turn: one order of what is shown, whatever order and pieces the model writes in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from app.adapters.event_log.memory import MemoryTurnLog
from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.messages import Message, Prompt
from app.eventlog.writer import LogWriter
from app.generation.fair_limiter import FairLimiter
from app.generation.request import GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.clock import Clock
from app.ports.model import ModelEnd, ModelRequest, OnDelta
from app.ports.store import Claim, TurnRequest
from app.tables.narration import TableNarration
from app.turns.state import TurnState
from hypothesis import given
from hypothesis import strategies as st

from tabling import NARRATIVE, OPTIONS, RESPONSE, answer

ORDER = ("narrative", "player_response", "player_options", "scene")


class Pieces:
    """Streams the text in pieces of that many characters; `after` each of them."""

    name, api = "m", "chat"

    def __init__(self, text: str, size: int) -> None:
        self.pieces = [text[at : at + size] for at in range(0, len(text), size)]

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        for piece in self.pieces:
            on_delta([piece])
        return ModelEnd(None, self.name)


def shown(text: str, size: int) -> list[dict[str, Any]]:
    """The events while the model streams, as players may read them."""
    log, request = MemoryTurnLog(), TurnRequest("c", "go", "local", "request-1")
    writer = LogWriter("t", log, Clock())
    turn = TurnState(Claim("t", 1), request, CharacterProgress(), writer, Clock())
    model: Any = Pieces(text, size)
    service = GenerationService([model], FairLimiter(1, 1.0), GenerationLimits(max_retries=0))
    prompt = Prompt((Message("user", "Go."),))
    asked = GenerationRequest(prompt, Purpose.TURN, "local", turn.meta)
    asyncio.run(service.generate(asked, TableNarration(turn, 1_000_000, lambda _: None)))
    return [json.loads(data) for _, _, data in log.entries()]


@given(
    order=st.permutations([*ORDER, "intents"]),
    response=st.sampled_from([RESPONSE, "", None, ..., [], 7, "null"]),
    size=st.integers(1, 60),
    options=st.sampled_from([OPTIONS, OPTIONS[:1], None]),
)
def test_what_is_shown_has_one_order_in_every_order_of_the_model(
    order: list[str], response: object, size: int, options: list[str] | None
) -> None:
    whole = answer(player_response=response, player_options=options)
    text = dump({name: whole[name] for name in order if name in whole})
    events = shown(text, size)
    kinds = [event.get("field", event["type"]) for event in events]
    ranks = [ORDER.index(kind) for kind in kinds if kind in ORDER]
    assert ranks == sorted(ranks)
    said = dict.fromkeys(ORDER[:2], "")
    for event in events:
        if event["type"] == "token":
            said[event["field"]] += event["content"]
    expected = response if isinstance(response, str) else ""
    assert said == {"narrative": NARRATIVE, "player_response": expected}
    assert kinds.count("player_options") == (options == OPTIONS)
    assert kinds.count("scene") <= kinds.count("player_options")
