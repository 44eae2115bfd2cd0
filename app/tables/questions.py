"""Questions about the story, out of character: they cost no action and change nothing."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.limits import per_minute
from app.core.prompt import quoted
from app.core.questions import question_prompt
from app.core.table_prompt import BEFORE, WINDOW
from app.core.tables import NewLine
from app.ports.call import CallMeta
from app.ports.limits import Charge, Limiter
from app.ports.tables import TableStore
from app.tables.budget import TableBudget
from app.tables.history import newest_lines, spoken
from app.tables.service import TableService
from app.tables.topics import TableTopics
from app.tables.visit import Visit
from app.turns.questions import Questions


@dataclass(eq=False)
class TableQuestions:
    """Asks are limited as deeds are, in a window of their own, and paid from the table's budget."""

    _service: TableService
    _tables: TableStore
    _questions: Questions
    _limiter: Limiter
    _topics: TableTopics
    _budget: TableBudget

    async def ask(
        self, visit: Visit, question: str, meta: CallMeta, *, shared: bool, field: str = "question"
    ) -> str:
        """The answer, which everybody sees where it is `shared`. `field`: the question's name in the
        request. Raises as a turn does, and `ValidationError` for a shared question that the table keeps
        out."""
        table = visit.table
        if shared:
            await self._topics.require_lines(table, {field: question})
        rate = table.rules.requests_per_minute
        if rate:
            rule = per_minute("table_questions", rate, "questions at one table")
            await self._limiter.take([Charge(rule, table.key)])
        await self._budget.require_room(table)  # before anything is read
        summary = (await self._tables.summary(table.id)).text
        said = spoken(await newest_lines(self._tables, table.id, WINDOW))[-WINDOW:]
        story = [f"{quoted(one.sender)}: {quoted(one.text)}" for one in said]
        moderator = self._topics.moderator(*table.rules.lines, *table.rules.veils)
        before = BEFORE, [quoted(summary)] if summary else []
        prompt = question_prompt(question, before, ("STORY SO FAR", story))
        user_id = visit.caller.user_id
        async with self._budget.beside_turns(table) as cost:
            answer = await self._questions.answer(prompt, user_id, meta, cost, moderator)
        await self._service.visit(visit.caller, table.id)  # unless the asker was removed meanwhile
        if shared:
            words = f"{visit.player_name} asks: {question}\n{answer}"
            await self._service.add(table, NewLine(table.dm_name, words, "system"))
        return answer
