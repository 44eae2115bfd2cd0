"""Conversations of 50 messages, 200 in a thorough run: what is kept of them stays bounded."""

from __future__ import annotations

import asyncio
import os
import random
from types import SimpleNamespace
from typing import Any

from app.core.conversation import (
    MAX_DIGEST,
    MAX_LINE_PART,
    MAX_SUMMARY,
    Conversation,
    Exchange,
    Persona,
    added,
    cleared,
    remembered,
    summarised,
    window,
)
from app.core.topics import MAX_TOPICS, current_topics
from app.dialogue.prompt import chat_prompt
from app.dialogue.summary import Summariser
from app.generation.request import GenerationLimits
from app.ports.conversations import ConversationKey, NewExchange

from fakes.store.journal import Journal
from fakes.store.store import MemoryTurnStore
from journal import Hands

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
CONVERSATIONS, MESSAGES, KEEP = 200 if THOROUGH else 40, 50, 6
MOST_RECAP = MAX_SUMMARY + MAX_DIGEST + KEEP * (2 * MAX_LINE_PART + 30) + 100
WORDS = [
    *("dragon", "bridge", "tower", "lantern", "the", "of", "and", "you", "what", "is", "go"),
    *("left", "right", "ring", "bell", "é", "🔥"),
]


def exchange(rng: random.Random, number: int) -> Exchange:
    message, answer = (" ".join(rng.choices(WORDS, k=rng.randint(1, 120))) for _ in range(2))
    return Exchange(
        message_id=str(number),
        username="ann",
        message=message,
        asked_at=number,
        answer=answer,
        answered_at=number,
    )


def test_summary_topics_and_document_stay_bounded_and_no_pair_is_split() -> None:
    for seed in range(CONVERSATIONS):
        rng, kept = random.Random(seed), Conversation()
        for number in range(MESSAGES):
            kept = added(kept, exchange(rng, number), KEEP)
            if len(kept.digest) > 4 and rng.random() < 0.3:
                kept = summarised(kept, kept, "x" * 5_000) or kept
            seen = window(kept.exchanges, 10, 400)
            assert seen == kept.exchanges[len(kept.exchanges) - len(seen) :]
            assert len(seen) <= 5
            assert sum(one.tokens for one in seen) <= 400
            known = remembered(kept, None, 10, 400)
            assert known.exchanges == seen
            assert len(known.recap) <= MOST_RECAP
            late = Persona(name="Grok", system_prompt="Grumble.", since=max(number - 2, 1))
            witnessed, since = kept.seen_by(late), remembered(kept, late, 2, 400)
            assert len(since.exchanges) + since.recap.count(" / co-host: ") == len(witnessed)
        assert (kept.count, len(kept.exchanges)) == (MESSAGES, KEEP)
        assert sum(map(len, kept.digest)) <= MAX_DIGEST
        topics = current_topics(kept.exchanges)
        assert 0 < len(topics) <= MAX_TOPICS
        assert not {"the", "what", "ann"} & {word for topic in topics for word in topic.split()}


def test_a_summary_covers_what_was_dropped_while_a_slow_model_wrote_it() -> None:
    rng, known = random.Random(0), Conversation()
    for number in range(30):
        known = added(known, exchange(rng, number), KEEP)
    for more in (0, 1, 5, 40):
        now = known
        for number in range(30, 30 + more):
            now = added(now, exchange(rng, number), KEEP)
        with_summary = summarised(now, known, "So far.")
        assert with_summary is not None
        assert with_summary.summary == "So far."
        assert with_summary.digest == now.digest[-more:] * bool(more)
        assert summarised(with_summary, known, "Late.") is None
        assert summarised(cleared(now, 0.0), known, "Late.") is None


# -- as they are kept and asked -------------------------------------------------------------------

KEPT, TOKENS = CONVERSATIONS // 4, 400
MOST_BYTES = 12_000
"""Of a stored conversation: what it says of people is bounded, and so is each of its exchanges here."""


class Folding:
    """A generation service whose model sums up at too great length."""

    limits = GenerationLimits(max_retries=1, delay_base=1, delay_max=1)

    def __init__(self) -> None:
        self.calls = 0

    async def generate(self, *_: Any) -> Any:
        self.calls += 1
        return SimpleNamespace(text="The dragon waits at the bridge. " * 200)


def test_stored_conversations_stop_growing_and_their_prompts_hold_whole_pairs() -> None:
    asyncio.run(_talked())


async def _talked() -> None:
    store, generation = MemoryTurnStore(Hands(), Journal()), Folding()
    summariser: Any = Summariser(store, generation)  # type: ignore[arg-type]
    half = whole = 0
    for seed in range(KEPT):
        rng, key = random.Random(seed), ConversationKey("mara", str(seed))
        for number in range(MESSAGES):
            known = await store.conversation(key)
            _whole_pairs(known, number)
            one = exchange(rng, number)
            known = await store.change_conversation(
                key, NewExchange(key, known.epoch, one, KEEP).apply
            )
            if sum(map(len, known.digest)) >= MAX_DIGEST // 2:
                await summariser.summarise(key)
            size = len(known.model_dump_json().encode())
            assert size < MOST_BYTES
            half += size if number == MESSAGES // 2 else 0
            whole += size if number == MESSAGES - 1 else 0
        assert (await store.conversation(key)).summary
    assert generation.calls >= KEPT
    assert whole < 1.2 * half


def _whole_pairs(known: Conversation, number: int) -> None:
    prompt = chat_prompt("role", remembered(known, None, 10, TOKENS), "", f"ann: message {number}")
    roles = [message.role for message in prompt.messages]
    assert roles == ["system", *["user", "assistant"] * ((len(roles) - 2) // 2), "user"]
    assert prompt.length < MOST_RECAP + 3 * TOKENS + 1_000
