"""The offline storyteller as a model: it needs no key and no network."""

import asyncio
import json
import re
from itertools import islice
from typing import Any, Final

from app.core.messages import ContentHints, Prompt
from app.core.prompt import Scene
from app.core.results import Usage
from app.core.table_prompt import TableScene
from app.core.text import scrub_surrogates
from app.ports.model import OFFLINE_MODEL, ModelEnd, ModelRequest, OnDelta
from app.standins.storyteller.content import written
from app.standins.storyteller.draft import shortest
from app.standins.storyteller.library import library
from app.standins.storyteller.plain import plain_answer
from app.standins.storyteller.table import at_table
from app.standins.storyteller.tale import compose

DEFAULT_SEED: Final = "storyteller"
UNPACED_BATCH: Final = 16
ROUNDING: Final = 1e-6  # so that a sleep that ends exactly on time has ended
# A word with the space before it; long words and writing without spaces are cut.
_TOKEN: Final = re.compile(r"\s*\S{1,8}")


class Storyteller:
    """`tokens_per_second` paces the narrative; 0 does not pace it. What follows comes at once."""

    name = OFFLINE_MODEL
    api = "storyteller"

    def __init__(self, tokens_per_second: float, seed: str | None) -> None:
        self._pace = tokens_per_second
        self._seed = seed or DEFAULT_SEED
        library()  # a mistake in the data is a failure to start, and no turn waits for loading

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        paced, rest = self._tokens_of(request.prompt)
        if self._pace > 0:
            await _stream_paced(on_delta, paced, 1 / self._pace)
            on_delta(rest)
        else:
            tokens = iter(paced + rest)
            while batch := list(islice(tokens, UNPACED_BATCH)):
                on_delta(batch)
        return self._end(request.prompt, len(paced) + len(rest))

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        paced, rest = self._tokens_of(request.prompt)
        return "".join(paced + rest), self._end(request.prompt, len(paced) + len(rest))

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return

    def _tokens_of(self, prompt: Prompt) -> tuple[list[str], list[str]]:
        """The tokens that are paced, up to the end of a narrative, and those behind it."""
        found = self._document(prompt)
        if found is None:
            return _tokens(plain_answer(prompt, self._seed)), []
        field, document = found
        others = {name: value for name, value in document.items() if name != field}
        opening = f'{{"{field}":'
        text = scrub_surrogates(_json({field: document[field], **others}))
        end = len(opening) + len(_json(document[field]))
        return [text[: len(opening) + 1], *_tokens(text[len(opening) + 1 : end])], _tokens(
            text[end:]
        )

    def _document(self, prompt: Prompt) -> tuple[str, dict[str, Any]] | None:
        """The name of its text, and the document; None where only the schema is known."""
        hints = prompt.hints
        if isinstance(hints, ContentHints):
            made = written(hints.kind, hints.facts, hints.parent, self._seed)
            return None if made is None else (hints.text, made)
        if not isinstance(hints, Scene):
            return None
        document = shortest(compose(hints, self._seed), hints.decision)
        if isinstance(hints, TableScene):
            document = at_table(document, hints, self._seed)
        return "narrative", document

    def _end(self, prompt: Prompt, tokens: int) -> ModelEnd:
        read = len(prompt.messages[-1].content) // 4
        usage = Usage(
            model=self.name,
            input_tokens=read,
            output_tokens=tokens,
            total_tokens=read + tokens,
            estimated=True,
        )
        return ModelEnd(usage, self.name)


async def _stream_paced(on_delta: OnDelta, tokens: list[str], interval: float) -> None:
    """One token each `interval` seconds by the loop's clock, several where it has fallen behind."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    sent = 0
    while sent < len(tokens):
        due = min(len(tokens), int((loop.time() - began) / interval + ROUNDING) + 1)
        if due > sent:
            on_delta(tokens[sent:due])
            sent = due
        else:
            await asyncio.sleep(began + sent * interval - loop.time())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)
