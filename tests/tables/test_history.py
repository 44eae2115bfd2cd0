"""The story so far among a table's lines: refused actions and notices are lines, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from app.adapters.moderation.words import WordList
from app.core.table_prompt import BEHIND, WINDOW
from app.core.tables import ANSWERS, NewLine, Seat, Summary, Table, TableRules
from app.errors import LLMTimeout
from app.generation.fair_limiter import FairLimiter
from app.generation.prices import PriceList
from app.generation.request import GenerationLimits
from app.generation.service import GenerationService
from app.generation.summary import SECONDS
from app.ports.model import ModelEnd, ModelRequest
from app.tables.budget import TableBudget
from app.tables.history import OCCASION, PAGE, newest_lines, spoken
from app.tables.summary import MAX_LINES, TableSummaries
from app.tables.topics import TableTopics

from fakes.store.store import MemoryTurnStore
from fakes.upstreams import ScriptedModel
from journal import NOON
from loops import in_loop, in_virtual_time

REFUSED = NewLine("Ada", "I knock.", "player", "ada", data={OCCASION: "action"})
NOTICE = NewLine("Dungeon Master", "Ada has joined.", "system")
WHISPER = NewLine("Dungeon Master", "Psst.", "dm", "olga", recipient="ada")
NO_STORY = (REFUSED, NOTICE, WHISPER)


def word(number: int) -> NewLine:
    return NewLine("Ada", f"word {number}.", "player", "ada")


def turn(number: int, deeds: int = 1) -> NewLine:
    """The line of a turn that answers so many deeds."""
    answers = [["Ada", f"deed {number}.{deed}"] for deed in range(deeds)]
    return NewLine("DM", f"story {number}.", "dm", turn_id=f"t{number}", data={ANSWERS: answers})


def tables() -> Any:
    return MemoryTurnStore(lambda: NOON).tables


class Asked(ScriptedModel):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__("Ada spoke.")
        self.prompts: list[str] = []

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        self.prompts.append(str(request.prompt.messages))
        return await super().complete(request)


async def table_of(store: Any, lines: list[NewLine]) -> Table:
    table: Table = await store.create(Seat("olga", "Olga"), "T", "DM", TableRules(), NOON)
    for line in lines:
        await store.say(table.id, line, NOON)
    return table


@pytest.mark.parametrize("noise", [0, 1, PAGE - WINDOW, PAGE, 1_000])
@in_loop
async def test_no_number_of_other_lines_displaces_the_story(noise: int) -> None:
    store = tables()
    words = [word(number) for number in range(WINDOW)]
    others = [NO_STORY[number % len(NO_STORY)] for number in range(noise)]
    table = await table_of(store, [*words[:5], *others, *words[5:], *others])
    found = await newest_lines(store, table.id, WINDOW)
    assert [one.text for one in spoken(found)] == [one.content for one in words]
    assert [line.id for line in found] == sorted({line.id for line in found})


@in_loop
async def test_no_more_lines_are_read_than_the_story_needs() -> None:
    store = tables()
    table = await table_of(store, [word(number) for number in range(500)])
    assert len(await newest_lines(store, table.id, WINDOW)) == PAGE


def summaries(store: Any, model: Asked) -> TableSummaries:
    generation = GenerationService([model], FairLimiter(1, 1.0), GenerationLimits())
    return TableSummaries(
        store, generation, TableBudget(store, PriceList({})), TableTopics(generation, WordList)
    )


@pytest.mark.parametrize("noise", [0, MAX_LINES - 1, MAX_LINES, 3 * MAX_LINES])
@in_loop
async def test_summary_goes_on_behind_any_number_of_other_lines(noise: int) -> None:
    store = tables()
    others = [NO_STORY[number % len(NO_STORY)] for number in range(noise)]
    words = [word(number) for number in range(WINDOW + BEHIND)]
    table = await table_of(store, [*others, *words[:15], *others, *words[15:]])
    model = Asked()
    await summaries(store, model).summarise(table.id)
    made = await store.summary(table.id)
    assert made.text == "Ada spoke."
    since = await store.lines_since(table.id, made.upto, 10_000)
    assert [one.text for one in spoken(since)] == [one.content for one in words[BEHIND:]]


@in_virtual_time
async def test_summary_that_no_model_makes_is_given_up_for_the_next_one() -> None:
    class Silent(Asked):
        async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
            await super().complete(request)
            if len(self.prompts) == 1:
                await asyncio.Event().wait()
            return "Ada spoke.", ModelEnd(None, self.name)

    store, loop = tables(), asyncio.get_running_loop()
    model, words = Silent(), [word(number) for number in range(WINDOW + BEHIND)]
    first, second = await table_of(store, words), await table_of(store, words)
    made = summaries(store, model)
    with pytest.raises(LLMTimeout):
        await made.summarise(first.id)
    assert loop.time() <= SECONDS + 1
    await made.summarise(second.id)
    found = [(await store.summary(table.id)).text for table in (first, second)]
    assert found == ["", "Ada spoke."]


@pytest.mark.parametrize("deeds", [1, 2, 5])
@pytest.mark.parametrize("before", range(3))
@in_loop
async def test_every_piece_of_a_turn_is_summarised_or_still_in_the_window(
    deeds: int, before: int
) -> None:
    store = tables()
    lines = [*map(word, range(before)), *(turn(number, deeds) for number in range(16))]
    table = await table_of(store, lines)
    model = Asked()
    await summaries(store, model).summarise(table.id)
    made: Summary = await store.summary(table.id)
    asked = model.prompts[-1]
    since = spoken(await store.lines_since(table.id, made.upto, 10_000))
    kept = {one.text for one in since}
    for one in spoken(await store.lines_since(table.id, 0, 10_000)):
        assert (one.text in kept) != (one.text in asked)
