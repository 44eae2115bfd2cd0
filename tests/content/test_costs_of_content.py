"""What a known answer costs beside a new one."""

from __future__ import annotations

import json
import time
from pathlib import Path

from app.bootstrap import Builder, load_settings
from app.content.answering import Answering, ContentAnswers
from app.content.asking import ContentAsked
from app.content.kinds import KINDS
from app.core.access import Caller
from app.core.results import Usage
from app.ports.clock import Clock
from app.ports.model import LanguageModel, ModelEnd, ModelRequest, OnDelta
from app.ports.turn import TurnRequest
from app.turns.service import TurnService
from app.web.auth import ALL_SCOPES
from starlette.applications import Starlette

from asking import CHARACTER
from loops import in_loop

TOKENS = 1_000
MISSES, HITS = 15, 1_500
MOST = 0.02


class Writer:
    """Writes a text of `TOKENS` tokens, each in a read of its own, and costs next to nothing."""

    name = "writer"
    api = "chat"

    def __init__(self) -> None:
        self.calls = 0
        self._text = json.dumps({"content": "word " * TOKENS})

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        self.calls += 1
        for at in range(0, len(self._text), 5):
            on_delta([self._text[at : at + 5]])
        return ModelEnd(Usage(model=self.name, output_tokens=TOKENS), self.name)

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        raise AssertionError("a stream is asked for")

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return


class WithWriter(Builder):
    writer = Writer()

    def models(self) -> list[LanguageModel]:
        return [self.writer]


@in_loop
async def test_a_known_answer_costs_a_fiftieth_of_a_new_one(tmp_path: Path) -> None:
    settings = load_settings(
        _env_file=None,
        store_url=f"sqlite:///{tmp_path}/store.db",
        limit_text_per_minute=0,
        max_loop_lag_seconds=60,
    )
    application = WithWriter(settings, Clock()).build()
    app = application.asgi
    assert isinstance(app, Starlette)
    kind = next(one for one in KINDS if one.name == "character")
    answers = application.services.get(ContentAnswers)
    turns = application.services.get(TurnService)
    body, plain = json.dumps(CHARACTER), TurnRequest("", "", "mara", "r")

    async def cost(times: int, *, cache: bool) -> float:
        """Seconds of all threads for one answer, from its body to its text."""
        began = time.process_time()
        for _ in range(times):
            asked = ContentAsked(kind, kind.request.model_validate_json(body), cache)
            found = await answers.whole(asked, asked.request(plain, ""))
            if isinstance(found, Answering):
                await turns.finished(found.turn, Caller("mara", ALL_SCOPES))
        return (time.process_time() - began) / times

    async with app.router.lifespan_context(app):
        await cost(2, cache=False)
        miss = await cost(MISSES, cache=False)
        assert WithWriter.writer.calls == MISSES + 2
        hit = await cost(HITS, cache=True)
        assert WithWriter.writer.calls == MISSES + 2
    print(f"miss {miss * 1e3:.2f} ms, hit {hit * 1e3:.3f} ms: {hit / miss:.4f}")
    assert hit <= MOST * miss
