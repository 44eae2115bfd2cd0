"""Chat messages through their pipeline, in one process on fakes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable

from app.adapters.answers.memory import MemoryAnswers
from app.dialogue.asked import Asked
from app.dialogue.npcs import Npcs
from app.dialogue.pipeline import ChatDependencies, ChatPipeline
from app.dialogue.settings import DialogueSettings
from app.generation.answer_cache import AnswerCache
from app.ports.conversations import ConversationKey
from app.ports.turn import TurnRequest
from app.turns.admission import Started
from app.turns.observe import unobserved
from parts import House

from loops import in_virtual_time

MESSAGES = 50


def talking(house: House) -> Callable[[int, int], Awaitable[None]]:
    """Answers one message of a conversation, to its end."""
    pipeline = ChatPipeline(
        ChatDependencies(
            store=house.store,
            conversations=house.store,
            generation=house.generation,
            settings=DialogueSettings(_env_file=None),
            model="scripted",
            observe=unobserved,
            cache=AnswerCache(MemoryAnswers(house.clock.monotonic).kept("chat", 60)),
            npcs=Npcs(house.store.tables),
        )
    )
    house.executor.add_pipeline("chat", pipeline)

    async def say(conversation: int, number: int) -> None:
        asked = Asked(f"c{conversation}", "ann")
        request = asked.request(
            f"Question {number} about the bridge?", TurnRequest("", "", "mara", "r-1")
        )
        started = await house.admission.admit(request)
        assert isinstance(started, Started)
        await started.turn.wait_ended()

    return say


@in_virtual_time
async def test_memory_does_not_grow_with_the_length_of_a_conversation() -> None:
    house = House(text="Over the bridge, mind the seventh plank!")
    say = talking(house)
    sizes: list[int] = []
    tracemalloc.start()
    try:
        for number in range(MESSAGES):
            for conversation in range(4):
                await say(conversation, number)
            house.journal.turns.clear()
            if number in (24, MESSAGES - 1):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    kept = await house.store.conversation(ConversationKey("mara", "c1"))
    assert kept.count == MESSAGES
    documents = house.journal.conversations.values()
    assert all(len(document) < 20_000 for document in documents)
    assert sizes[1] < sizes[0] + 150_000
