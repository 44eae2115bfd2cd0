"""The summary of the part of a table's story that has left the window. It is made beside the turns and
can be corrected."""

from __future__ import annotations

from typing import Final

from app.core.table_prompt import BEHIND, WINDOW, Spoken
from app.core.tables import KIND, Summary
from app.core.text import has_visible
from app.errors import TokenBudgetExceeded
from app.generation.service import GenerationService
from app.generation.summary import SummaryQueue, fold
from app.ports.tables import TableStore
from app.tables.budget import TableBudget
from app.tables.history import spoken
from app.tables.topics import TableTopics
from app.tables.visit import Visit
from app.turns.observe import TurnEnded

MAX_LINES: Final = 200  # at a time
MAX_LINE: Final = 2_000  # characters
MAX_SUMMARY: Final = 4_000


class TableSummaries:
    """One table at a time. Where no model can, the story goes on with its window alone."""

    def __init__(
        self,
        tables: TableStore,
        generation: GenerationService,
        budget: TableBudget,
        topics: TableTopics,
    ) -> None:
        self._tables = tables
        self._topics = topics
        self._budget = budget
        self._generation = generation
        self._queue = SummaryQueue(self.summarise, "table_summary_failed")

    def observe(self, observation: object) -> None:
        """A turn of a table has ended: there may be enough."""
        if not isinstance(observation, TurnEnded):
            return
        kind, _, number = observation.turn.request.exclusive_key.partition(":")
        if kind == KIND:
            self._queue.add(int(number))

    async def run(self) -> None:
        """Summarise for as long as the service runs."""
        await self._queue.run()

    async def summarise(self, table_id: int) -> None:
        """Fold what has left the window into the summary, where it is enough. Raises as `generate`
        does."""
        table, known = await self._tables.find(table_id), await self._tables.summary(table_id)
        if table is None:
            return
        leaving = await self._leaving(table_id, known.upto)
        if not leaving:
            return
        since = [f"{one.sender}: {one.text[:MAX_LINE]}" for _, one in leaving]
        try:
            async with self._budget.beside_turns(table) as cost:
                text = await fold(self._generation, table.owner, known.text, since, cost)
        except TokenBudgetExceeded:
            return
        if has_visible(text):
            new = Summary(text=text[:MAX_SUMMARY], upto=leaving[-1][0])
            await self._tables.put_summary(table_id, known, new)

    async def _leaving(self, table_id: int, upto: int) -> list[tuple[int, Spoken]]:
        """The first pieces of the story behind line `upto` that have left the window, each with the number
        of its line; all of a line or none. Nothing where there are not enough."""
        story: list[tuple[int, Spoken]] = []
        size = MAX_LINES
        while size == MAX_LINES and len(story) < WINDOW + BEHIND:  # not every line is of the story
            lines = await self._tables.lines_since(table_id, upto, MAX_LINES)
            story += [(line.id, one) for line in lines for one in spoken([line])]
            size, upto = len(lines), lines[-1].id if lines else upto
        left = len(story) - WINDOW
        if left < BEHIND:
            return []
        return [piece for piece in story[:left] if piece[0] != story[left][0]]

    async def shown(self, visit: Visit) -> Summary:
        """The summary that all members may read."""
        return await self._tables.summary(visit.table.id)

    async def correct(self, visit: Visit, text: str) -> Summary:
        """Replace the summary in the prompts of later turns. Raises `Forbidden`, and `ValidationError` for
        a `summary` that the table keeps out."""
        visit.require(*visit.table.management)
        await self._topics.require_story(visit.table, {"summary": text})
        while True:
            known = await self._tables.summary(visit.table.id)
            new = known.model_copy(update={"text": text, "corrected": True})
            if await self._tables.put_summary(visit.table.id, known, new):
                return new
