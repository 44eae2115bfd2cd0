"""What every `Conversations` does. An adapter joins by one line in `store_adapters`."""

from __future__ import annotations

from pathlib import Path

import pytest
from app.core.conversation import Conversation, Exchange, Persona, cleared, with_personas
from app.ports.conversations import ConversationKey, NewExchange
from app.ports.store import Ending, TurnStore, Verdict
from store_adapters import ADAPTERS, Stores, admitted

from journal import NOON
from loops import in_loop

KEY = ConversationKey("mara", "default")


@pytest.fixture(params=list(ADAPTERS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


def exchange(number: int, at: float = NOON) -> Exchange:
    return Exchange(
        message_id=f"m{number}",
        username="ann",
        message=f"question {number} \U0001f525 é",
        asked_at=at,
        answer=f"answer {number}",
        answered_at=at + 1,
    )


async def answered(
    store: TurnStore, number: int, key: ConversationKey = KEY, *, epoch: int = 0
) -> Verdict:
    """A turn that ends with an exchange."""
    claim = await admitted(store, f"t{number}", exclusive=f"chat:{number}")
    new = NewExchange(key, epoch, exchange(number), keep=3)
    ending = Ending("complete", {}, [], exchange=new)
    return await store.finish(claim, ending)


@in_loop
async def test_an_unknown_conversation_is_empty(stores: Stores) -> None:
    async with stores.process() as store:
        assert await store.conversation(KEY) == Conversation()


@in_loop
async def test_a_turn_s_end_adds_its_exchange_and_a_restart_keeps_it(stores: Stores) -> None:
    async with stores.process() as store:
        for number in range(1, 6):
            assert await answered(store, number) is Verdict.STORED
        before = await store.conversation(KEY)
    async with stores.process() as store:
        found = await store.conversation(KEY)
        assert found == before
        assert [one.message_id for one in found.exchanges] == ["m3", "m4", "m5"]
        assert (found.count, len(found.digest), found.updated_at) == (5, 2, NOON + 1)


@in_loop
async def test_an_end_that_is_refused_adds_nothing(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, "t1")
        await store.begin_cancel("t1")
        new = NewExchange(KEY, 0, exchange(1), keep=3)
        verdict = await store.finish(claim, Ending("complete", {}, [], exchange=new))
        assert verdict is Verdict.CANCELLED
        assert (await store.conversation(KEY)).count == 0


@in_loop
async def test_conversations_are_apart_by_user_and_by_id(stores: Stores) -> None:
    async with stores.process() as store:
        await answered(store, 1)
        for other in (ConversationKey("ben", "default"), ConversationKey("mara", "raid")):
            assert (await store.conversation(other)).count == 0


@in_loop
async def test_an_answer_to_a_cleared_conversation_is_dropped(stores: Stores) -> None:
    async with stores.process() as store:
        await answered(store, 1)
        after = await store.change_conversation(KEY, lambda one: cleared(one, NOON + 9))
        assert (after.epoch, after.count, after.exchanges) == (1, 0, ())
        assert await answered(store, 2, epoch=0) is Verdict.STORED
        assert (await store.conversation(KEY)).count == 0
        await answered(store, 3, epoch=1)
        assert (await store.conversation(KEY)).count == 1


@in_loop
async def test_a_change_that_returns_none_changes_nothing(stores: Stores) -> None:
    async with stores.process() as store:
        assert await store.change_conversation(KEY, lambda _: None) == Conversation()
        people = [Persona(name="Grok the Orc", system_prompt="Grunt.")]
        made = await store.change_conversation(KEY, lambda one: with_personas(one, people, NOON))
        assert await store.conversation(KEY) == made
        assert await store.change_conversation(KEY, lambda _: None) == made


@in_loop
async def test_conversations_expire_by_their_last_change(stores: Stores) -> None:
    async with stores.process() as store:
        await answered(store, 1)
        await store.change_conversation(
            ConversationKey("ben", "x"), lambda one: cleared(one, NOON + 100)
        )
        assert await store.expire_conversations(NOON + 50) == 1
        assert await store.expire_conversations(NOON + 50) == 0
        assert (await store.conversation(KEY)).count == 0
        assert (await store.conversation(ConversationKey("ben", "x"))).epoch == 1
