"""200 conversations of 50 messages: what is kept stays bounded, and nothing grows with their length."""

from __future__ import annotations

import random

from app.core.conversation import (
    MAX_DIGEST,
    MAX_SUMMARY,
    Conversation,
    Exchange,
    added,
    recap,
    summarised,
    window,
)
from app.core.topics import MAX_TOPICS, current_topics

CONVERSATIONS, MESSAGES, KEEP = 200, 50, 6
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
                kept = summarised(kept, "x" * 5_000, kept.digest[:3]) or kept
            seen = window(kept.exchanges, 10, 400)
            assert seen == kept.exchanges[len(kept.exchanges) - len(seen) :]
            assert len(seen) <= 5
            assert sum(one.tokens for one in seen) <= 400
        assert (kept.count, len(kept.exchanges)) == (MESSAGES, KEEP)
        assert sum(map(len, kept.digest)) <= MAX_DIGEST
        assert len(recap(kept)) <= MAX_SUMMARY + MAX_DIGEST + len(kept.digest) + 1
        topics = current_topics(kept.exchanges)
        assert 0 < len(topics) <= MAX_TOPICS
        assert not {"the", "what", "ann"} & {word for topic in topics for word in topic.split()}
