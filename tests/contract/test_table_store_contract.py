"""What every store of tables must do, beside its journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app.core.hub import NewEvent, session_event
from app.core.money import Amount, Spent
from app.core.rounds import Round
from app.core.table_prompt import Deed
from app.core.tables import (
    DICE,
    DeedKey,
    Invitation,
    NewLine,
    Seat,
    Summary,
    Table,
    TableRules,
)
from app.errors import IdempotencyKeyReused
from app.ports.tables import NameTaken, SeatNews, TableNews
from store_adapters import ADAPTERS, Stores, admitted, queued

from journal import CHARACTER, HASH, NOON, ending, turn_request
from loops import in_loop

NO_SUMMARY = Summary()
OWNER = Seat("olga", "Olga", joined_at=NOON)
RULES = TableRules(token_budget=500, lines=("spiders",))
HELLO = NewLine("Olga", "Hello.", "player", "olga")


@pytest.fixture(params=ADAPTERS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


@asynccontextmanager
async def two_nodes(adapter: str, directory: Path) -> AsyncIterator[tuple[Any, Any]]:
    """The tables of two processes on one database, where there can be two."""
    stores = Stores(adapter, directory)
    async with stores.process() as here:
        if adapter != "postgres":
            yield here.tables, here.tables
            return
        async with stores.process() as there:
            yield here.tables, there.tables


async def a_table(store: Any, owner: Seat = OWNER) -> Any:
    return await store.tables.create(owner, "The Anchor", "Dungeon Master", RULES, NOON)


SAID = NewLine("Olga", "Hm.", "player")


def of(table: Any, **fields: Any) -> dict[str, Any]:
    """A request for a turn of the table."""
    return {"kind": "table", "exclusive": table.key, "character_id": "", **fields}


@in_loop
async def test_table_is_found_with_its_owner_seated(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        assert await store.tables.find(table.id) == table
        assert (table.owner, table.is_active, table.rules) == ("olga", True, RULES)
        assert await store.tables.seats(table.id) == [OWNER]
        assert await store.tables.of_user("olga") == [table]
    async with stores.process() as store:
        assert await store.tables.find(table.id) == table
        assert await store.tables.find(table.id + 1) is None


@in_loop
async def test_changes_are_kept_and_leave_the_tokens(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        claim = await admitted(store, **of(table))
        await store.finish(claim, ending(spent=Amount(40)))
        rules = TableRules(join="open")
        new = replace(table, name="The Bell", dm_name="Ada", is_active=False, rules=rules)
        await store.tables.change(table.id, lambda known: new)
        changed = await store.tables.find(table.id)
        assert (changed.name, changed.dm_name, changed.is_active) == ("The Bell", "Ada", False)
        assert (changed.rules, changed.tokens_used) == (rules, 40)


@in_loop
async def test_deleted_table_leaves_nothing_and_its_number_is_never_used_again(
    stores: Stores,
) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        await store.tables.say(table.id, HELLO, NOON)
        await store.tables.invite(table.id, Invitation("i1", "player", NOON), b"h", "olga")
        assert await store.tables.delete(table.id)
        assert not await store.tables.delete(table.id)
        assert await store.tables.find(table.id) is None
        assert await store.tables.of_user("olga") == []
        assert await store.tables.seats(table.id) == []
        assert await store.tables.invitations(table.id) == []
        assert await store.tables.lines(table.id, "olga", 10) == []
        assert (await a_table(store)).id > table.id


@in_loop
async def test_seats_are_taken_left_and_taken_again(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        mara = Seat("mara", "Mara", "dm", CHARACTER, NOON + 1)
        await store.tables.take_seat(table.id, mara)
        assert await store.tables.seats(table.id) == [OWNER, mara]
        assert await store.tables.of_user("mara") == [replace(table, has_dm=True)]
        gone = Seat("mara", "Mara", "player", None, NOON + 5, present=False, removed=True)
        await store.tables.take_seat(table.id, gone)
        assert await store.tables.seats(table.id) == [OWNER]
        assert await store.tables.of_user("mara") == []
        assert await store.tables.removed(table.id) == [replace(gone, joined_at=NOON + 1)]
        kept = await store.tables.seat(table.id, "mara")
        assert (kept.joined_at, kept.present, kept.removed) == (NOON + 1, False, True)
        assert await store.tables.seat(table.id, "nobody") is None
        left = replace(gone, removed=False)
        for seat in (mara, left):  # neither coming back nor leaving lifts the removal
            assert not await store.tables.take_seat(table.id, seat)
        assert await store.tables.readmit(table.id, "mara")
        assert not await store.tables.readmit(table.id, "nobody")
        assert await store.tables.removed(table.id) == []
        assert await store.tables.take_seat(table.id, mara)
        assert await store.tables.seats(table.id) == [OWNER, mara]


@in_loop
async def test_table_has_a_dungeon_master_as_long_as_a_member_is_one(stores: Stores) -> None:
    async with stores.process() as store:
        tables = store.tables
        table, other = await a_table(store), await a_table(store)
        assert not table.has_dm
        mara = Seat("mara", "Mara", joined_at=NOON)
        led = replace(mara, role="dm")
        for seat, has_dm in (
            (mara, False),
            (led, True),
            (mara, False),
            (led, True),
            (replace(led, present=False), False),
            (led, True),
            (replace(led, present=False, removed=True), False),
        ):
            await tables.take_seat(table.id, seat)
            found = await tables.find(table.id)
            assert found is not None
            assert found.has_dm is has_dm
            listed = {one.id: one.has_dm for one in await tables.of_user("olga")}
            assert listed == {table.id: has_dm, other.id: False}
            changed = await tables.change(table.id, lambda known: known.ruled(paused=True))
            assert changed is not None
            assert [one.has_dm for one in changed[:2]] == [has_dm, has_dm]


@pytest.mark.parametrize("adapter", ADAPTERS)
@in_loop
async def test_table_that_its_owner_has_once_is_made_once(adapter: str, tmp_path: Path) -> None:
    def opened(number: int) -> NewEvent:
        return session_event("session.created", number, str(number), "olga", {})

    async with two_nodes(adapter, tmp_path) as nodes:
        other = await nodes[0].create(OWNER, "Another", "DM", RULES, NOON)
        theirs = await nodes[0].create(replace(OWNER, user_id="mara"), "a", "DM", RULES, NOON)
        made = await asyncio.gather(
            *(
                nodes[number % 2].create(OWNER, "a", "DM", RULES, NOON, opened, once=True)
                for number in range(6)
            )
        )
        assert len({table.id for table in made} - {other.id, theirs.id}) == 1
        assert made == [made[0]] * 6
        assert await nodes[1].of_user("olga") == [made[0], other]
        second = await nodes[1].create(OWNER, "a", "DM", RULES, NOON)
        assert second.id != made[0].id
        first = await nodes[0].create(OWNER, "a", "DM", RULES, NOON + 9, once=True)
        assert first == made[0]
        assert await nodes[0].seats(first.id) == [OWNER]


def named(user_id: str, name: str, **fields: Any) -> Seat:
    return Seat(user_id, name, joined_at=NOON + 1, **fields)


def news(table: Any, about: str) -> SeatNews:
    event = session_event("session.joined", table.id, about, "olga", {})
    return SeatNews(event, NewLine("DM", about, "system"), NOON)


@in_loop
async def test_no_two_members_have_one_name(stores: Stores) -> None:
    async with stores.process() as store:
        table, other = await a_table(store), await a_table(store)
        await store.tables.take_seat(table.id, named("mara", "Straße \\ \0"))
        await store.tables.take_seat(other.id, named("otto", "Straße \\ \0"))
        for user_id, name in (("otto", "STRASSE \\ \0"), ("otto", "olga"), ("mara", "OLGA")):
            with pytest.raises(NameTaken):
                await store.tables.take_seat(table.id, named(user_id, name), news(table, name))
        assert await store.outbox.events_after(0, None, 9) == []
        assert await store.tables.lines(table.id, "", 9) == []
        assert await store.tables.take_seat(table.id, named("mara", "mara"))
        assert await store.tables.take_seat(table.id, named("mara", "MARA", present=False))
        assert await store.tables.take_seat(table.id, named("otto", "Mara"))
        assert await store.tables.take_seat(table.id, named("mara", "Mara", present=False))
        with pytest.raises(NameTaken):
            await store.tables.take_seat(table.id, named("mara", "Mara"))
        names = [(seat.user_id, seat.player_name) for seat in await store.tables.seats(table.id)]
        assert names == [("olga", "Olga"), ("otto", "Mara")]


@pytest.mark.parametrize("adapter", ADAPTERS)
@in_loop
async def test_name_that_two_take_at_once_is_given_to_one(adapter: str, tmp_path: Path) -> None:
    async with two_nodes(adapter, tmp_path) as nodes:
        table = await nodes[0].create(OWNER, "a", "DM", RULES, NOON)
        seats = [named(f"u{number}", "Mara") for number in range(6)]
        found = await asyncio.gather(
            *(nodes[number % 2].take_seat(table.id, seat) for number, seat in enumerate(seats)),
            return_exceptions=True,
        )
        assert [one for one in found if not isinstance(one, NameTaken)] == [(True, False)]
        assert len(await nodes[0].seats(table.id)) == 2


@pytest.mark.parametrize("adapter", ADAPTERS)
@in_loop
async def test_seat_that_is_taken_or_left_twice_at_once_is_announced_once(
    adapter: str, tmp_path: Path
) -> None:
    async with two_nodes(adapter, tmp_path) as nodes:
        table = await nodes[0].create(OWNER, "a", "DM", RULES, NOON)
        here = named("mara", "Mara")
        gone = replace(here, present=False)
        for seat in (here, gone, replace(gone, removed=True)):
            found = await asyncio.gather(
                *(
                    nodes[number % 2].take_seat(table.id, seat, news(table, f"{number} of {seat}"))
                    for number in range(4)
                )
            )
            assert sorted(one.moved for one in found) == [False, False, False, True]
        assert await nodes[0].take_seat(table.id, here, news(table, "no")) is None
        assert len(await nodes[0].lines(table.id, "", 9)) == 3
        await nodes[0].readmit(table.id, "mara")
        assert await nodes[0].take_seat(table.id, here, news(table, "again")) == (True, False)
        recast = replace(here, character_id=CHARACTER)
        assert await nodes[1].take_seat(table.id, recast, news(table, "no")) == (False, True)
        assert len(await nodes[0].lines(table.id, "", 9)) == 4


@in_loop
async def test_change_is_stored_with_what_is_announced_of_it(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)

        def announced(known: Table, new: Table) -> TableNews:
            words = f"{known.name} is {new.name}."
            changed = session_event("session.changed", table.id, words, "olga", {})
            event = None if known == new else changed
            return TableNews(event, NewLine("DM", words, "system"), NOON)

        renamed = replace(table, name="The \0 Bell")
        for _ in range(2):
            await store.tables.change(table.id, lambda _: renamed, announced)
        await store.tables.change(table.id, lambda _: table)
        said = ["The Anchor is The \0 Bell.", "The \0 Bell is The \0 Bell."]
        lines = await store.tables.lines(table.id, "", 9)
        assert [line.said.content for line in lines] == said
        assert len(await store.outbox.events_after(0, None, 9)) == 1
        assert await store.tables.change(table.id + 1, lambda _: renamed, announced) is None
        assert await store.tables.lines(table.id + 1, "", 9) == []


@pytest.mark.parametrize("nodes", [("sqlite", 1), ("memory", 1), ("postgres", 2)])
@in_loop
async def test_change_made_while_another_is_made_undoes_nothing(
    nodes: tuple[str, int], tmp_path: Path
) -> None:
    adapter, number = nodes
    stores, names = Stores(adapter, tmp_path), [f"topic {number}" for number in range(12)]
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(stores.process()) for _ in range(number)]
        tables = [store.tables for store in opened]
        table = await a_table(opened[0])

        def changes(index: int) -> Any:
            made = tables[index % number].change
            return made(table.id, lambda known: known.without(names[index]))

        made = await asyncio.gather(*map(changes, range(12)))
        changed = await tables[0].find(table.id)
        assert set(changed.rules.lines) == {*RULES.lines, *names}
        assert {len(after.rules.lines) - len(before.rules.lines) for before, after, _ in made} == {
            1
        }
        assert await changes(0) == (changed, changed, None)
        assert await tables[0].change(table.id + 1, lambda known: known) is None


@in_loop
async def test_invitation_is_good_until_revoked_or_expired_and_at_its_table_only(
    stores: Stores,
) -> None:
    async with stores.process() as store:
        table, other = await a_table(store), await a_table(store)
        lasting = Invitation("i1", "dm", NOON)
        short = Invitation("i2", "player", NOON, NOON + 60)
        await store.tables.invite(table.id, lasting, b"one", "olga")
        await store.tables.invite(table.id, short, b"two", "olga")
        assert await store.tables.invitations(table.id) == [lasting, short]
        assert await store.tables.invitation(table.id, b"one", NOON) == "dm"
        assert await store.tables.invitation(other.id, b"one", NOON) is None
        assert await store.tables.invitation(table.id, b"two", NOON + 59) == "player"
        assert await store.tables.invitation(table.id, b"two", NOON + 60) is None
        assert not await store.tables.revoke(other.id, "i1")
        assert await store.tables.revoke(table.id, "i1")
        assert await store.tables.invitation(table.id, b"one", NOON) is None


@in_loop
async def test_lines_are_numbered_in_order_and_pages_go_back(stores: Stores) -> None:
    async with stores.process() as store:
        table, other = await a_table(store), await a_table(store)
        said = [await store.tables.say(table.id, HELLO, NOON + n) for n in range(4)]
        await store.tables.say(other.id, HELLO, NOON)
        assert [line.id for line in said] == sorted({line.id for line in said})
        assert await store.tables.lines(table.id, "mara", 2) == said[2:]
        assert await store.tables.lines(table.id, "mara", 2, before=said[2].id) == said[:2]
        assert await store.tables.lines_since(table.id, said[0].id, 2) == said[1:3]


@in_loop
async def test_line_for_one_member_is_listed_for_that_member_and_its_author(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        whisper = NewLine("Olga", "Psst.", "dm", "olga", recipient="mara", data={"die": [1, "é"]})
        line = await store.tables.say(table.id, whisper, NOON)
        for reader, seen in (("mara", [line]), ("olga", [line]), ("otto", [])):
            assert await store.tables.lines(table.id, reader, 5) == seen
        assert await store.tables.lines_since(table.id, 0, 5) == [line]


@in_loop
async def test_end_of_a_turn_charges_its_table_and_adds_its_lines(stores: Stores) -> None:
    async with stores.process() as store:
        table, line_said = await a_table(store), NewLine("DM", "A bell.", "dm", turn_id="t1")
        claim = await admitted(store, **of(table, reserved=300))
        assert await store.tables.spent(table.id) == Spent(Amount(0), Amount(300))
        await store.finish(claim, ending(spent=Amount(120), lines=(line_said,)))
        assert await store.tables.spent(table.id) == Spent(Amount(120), Amount(0))
        (line,) = await store.tables.lines(table.id, "olga", 5)
        assert (line.said, line.created_at) == (line_said, NOON)
        lost = await admitted(store, "t2", **of(table, reserved=300))
        await store.finish(lost, ending("error", spent=None))
        assert await store.tables.spent(table.id) == Spent(Amount(420), Amount(0))


@in_loop
async def test_usage_beside_turns_is_charged(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        for name, spent in (("a", Amount(30, 5)), ("b", Amount(12, 1))):
            await store.tables.reserve(table.id, name, Amount(99), Amount(0))
            await store.tables.settle(name, spent)
            await store.tables.settle(name, Amount(7, 7))
        await store.tables.settle("c", Amount(12))
        assert await store.tables.spent(table.id) == Spent(Amount(42, 6), Amount(0))
        await store.tables.delete(table.id)
        assert await store.cost_of(table.key) == 0


@in_loop
async def test_turn_that_was_lost_to_another_owner_says_nothing(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        claim = await admitted(store, **of(table))
        line_said = NewLine("DM", "A bell.", "dm", turn_id="t1")
        await store.finish(claim._replace(fence=7), ending(spent=Amount(9), lines=(line_said,)))
        assert await store.tables.lines(table.id, "olga", 5) == []
        assert await store.tables.spent(table.id) == Spent(Amount(0), Amount(0))


@in_loop
async def test_end_of_a_turn_of_a_deleted_table_is_recorded(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        claim = await admitted(store, **of(table))
        await store.tables.delete(table.id)
        line_said = NewLine("DM", "A bell.", "dm", turn_id="t1")
        await store.finish(claim, ending(lines=(line_said,)))
        assert (await store.turn("t1")).status == "complete"
        assert await store.tables.lines(table.id, "olga", 5) == []


@in_loop
async def test_turns_of_a_table_come_in_order_of_admission(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        first = await admitted(store, "t1", **of(table))
        await store.finish(first, ending())
        await admitted(store, "t2", **of(table, user_id="otto"))
        await queued(store, "t3", **of(table))
        await admitted(store, "other")
        begun = [turn.begun for turn in await store.tables.turns(table.id, None)]
        assert begun == [begun[0], (begun[0] or 0) + 1, None]
        every = [
            ("t1", "complete", begun[0], 0, 0),
            ("t2", "running", begun[1], 0, None),
            ("t3", "queued", None, None, None),
        ]
        assert list(await store.tables.turns(table.id, None)) == every
        assert list(await store.tables.turns(table.id, "t1")) == every[1:]
        assert list(await store.tables.turns(table.id, "unknown")) == every[1:]
        assert list(await store.tables.turns(table.id + 1, None)) == []


@in_loop
async def test_turn_begins_behind_the_newest_line_of_its_table(stores: Stores) -> None:
    """Not behind the line that was the newest when it was admitted."""
    async with stores.process() as store:
        table, other = await a_table(store), await a_table(store)

        async def said(number: int = table.id) -> int:
            return int((await store.tables.say(number, NewLine("Olga", "Hm.", "player"), NOON)).id)

        await said(other.id)
        lines = [await said()]
        first = await admitted(store, "t1", **of(table))
        await queued(store, "t2", **of(table))
        lines.append(await said())
        await said(other.id)
        await store.finish(first, ending())
        assert await store.promote(table.key) == "t2"
        await said()
        assert [turn.behind for turn in await store.tables.turns(table.id, None)] == lines


@pytest.mark.parametrize("status", ["complete", "error", "cancelled"])
@in_loop
async def test_turn_ends_behind_the_newest_line_of_its_table(stores: Stores, status: Any) -> None:
    """Before its own. One that never began has no end there."""
    async with stores.process() as store:
        table, other = await a_table(store), await a_table(store)
        claim = await admitted(store, "t1", **of(table))
        waits = await queued(store, "t2", **of(table))
        ids = [(await store.tables.say(at.id, SAID, NOON)).id for at in (table, other)]
        for turn_id, one in (("t2", waits), ("t1", claim)):
            if status == "cancelled" or turn_id == "t2":
                await store.begin_cancel(turn_id)
            last: Any = "cancelled" if turn_id == "t2" else status
            told = (NewLine("DM", "A bell.", "dm", turn_id=turn_id),)
            await store.finish(one, ending(last, lines=told if last == "complete" else ()))
        await store.tables.say(table.id, SAID, NOON)
        assert [turn.upto for turn in await store.tables.turns(table.id, None)] == [ids[0], None]


@in_loop
async def test_line_and_turn_at_once_are_in_one_order_for_all(stores: Stores) -> None:
    """Whoever finds the line, and then no turn, finds none later that began before it."""
    async with stores.process() as store:

        async def look() -> tuple[list[Any], Any]:
            lines: list[Any] = []
            while not lines:
                lines = await store.tables.lines_since(table.id, 0, 9)
                await asyncio.sleep(0)
            return lines, await store.tables.turns(table.id, None)

        for number in range(12):
            table = await a_table(store)
            said = NewLine("Olga", "Hm.", "player")
            (lines, turns), *_ = await asyncio.gather(
                look(),
                *(store.tables.say(table.id, said, NOON) for _ in range(3)),
                admitted(store, f"t{number}", **of(table)),
            )
            (turn,) = await store.tables.turns(table.id, None)
            assert turns or turn.behind >= lines[-1].id


@in_loop
async def test_turns_of_tables_are_owned_by_the_table(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        await admitted(store, **of(table))
        assert (await store.turn("t1")).resource.owner == table.story.owner
        await admitted(store, "t2")
        assert (await store.turn("t2")).resource.owner == ("user", turn_request().user_id)


@in_loop
async def test_player_who_waited_longest_is_next_at_a_table(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        claims = {"a1": await admitted(store, "a1", **of(table, user_id="ann"))}
        order = [("a2", "ann"), ("a3", "ann"), ("b1", "bob"), ("b2", "bob"), ("c1", "cid")]
        for turn_id, player in order:
            claims[turn_id] = await queued(store, turn_id, **of(table, user_id=player))
        taken, running = [], "a1"
        while running is not None:
            taken.append(running)
            await store.finish(claims[running], ending())
            running = await store.promote(table.key)
        assert taken == ["a1", "b1", "c1", "a2", "b2", "a3"]


@in_loop
async def test_a_table_takes_one_turn_at_a_time(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        await admitted(store, "t1", **of(table))
        found = await store.admit("t2", turn_request(**of(table, user_id="otto")), HASH)
        assert found.turn_id == "t1"


@in_loop
async def test_a_summary_takes_the_place_of_the_one_it_was_made_from(stores: Stores) -> None:
    async with stores.process() as store:
        table = await store.tables.create(OWNER, "Bell", "DM", RULES, NOON)
        assert await store.tables.summary(table.id) == NO_SUMMARY
        first = Summary(text="Élise \0 lied.", upto=4)
        assert await store.tables.put_summary(table.id, NO_SUMMARY, first)
        assert not await store.tables.put_summary(table.id, NO_SUMMARY, Summary(text="no"))
        second = Summary(text="Nobody lied.", upto=4, corrected=True)
        assert await store.tables.put_summary(table.id, first, second)
    async with stores.process() as store:
        assert await store.tables.summary(table.id) == second
        assert await store.tables.summary(99) == NO_SUMMARY


DAY = 86_400
KNOCK = DeedKey("olga", "k \0 é", b"knock")


def rolling(number: int) -> NewLine:
    return NewLine("Olga", f"rolls {number}", "system", "olga", data={DICE: {"index": number}})


def knocking(_: int) -> NewLine:
    return replace(HELLO, content="I knock.")


@pytest.mark.parametrize("adapter", ADAPTERS)
@in_loop
async def test_rolls_of_a_table_are_numbered_without_a_gap(adapter: str, tmp_path: Path) -> None:
    async with two_nodes(adapter, tmp_path) as nodes:
        one, other = [await nodes[0].create(OWNER, name, "DM", RULES, NOON) for name in "ab"]
        await asyncio.gather(
            *(nodes[count % 2].say_deed(one.id, rolling, NOON) for count in range(20)),
            *(nodes[count % 2].say_deed(one.id, knocking, NOON) for count in range(4)),
        )
        rolls = [line.said.roll for line in await nodes[0].lines(one.id, "", 99)]
        assert [roll for roll in rolls if roll is not None] == list(range(1, 21))
        assert (await nodes[0].say_deed(other.id, rolling, NOON)).said.roll == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
@in_loop
async def test_deed_is_said_once_for_a_key(adapter: str, tmp_path: Path) -> None:
    async with two_nodes(adapter, tmp_path) as nodes:
        table, other = [await nodes[0].create(OWNER, name, "DM", RULES, NOON) for name in "ab"]
        assert await nodes[0].deed(KNOCK, NOON) is None
        copies = (nodes[count % 2].say_deed(table.id, rolling, NOON, KNOCK) for count in range(9))
        first, *rest = await asyncio.gather(*copies)
        assert {line.id for line in rest} == {first.id}
        assert await nodes[0].lines(table.id, "", 9) == [first] == [rest[0]]
        assert await nodes[1].deed(KNOCK, NOON) == first
        with pytest.raises(IdempotencyKeyReused):
            await nodes[1].say_deed(other.id, knocking, NOON, KNOCK._replace(body_hash=b"other"))
        with pytest.raises(IdempotencyKeyReused):
            await nodes[1].deed(KNOCK._replace(body_hash=b"other"), NOON)
        somebody = KNOCK._replace(user_id="mara")
        theirs = NewLine("Mara", "I knock.", "player", "mara")
        await nodes[0].say_deed(table.id, lambda _: theirs, NOON, somebody)
        second = await nodes[1].say_deed(table.id, rolling, NOON)
        assert [first.said.roll, second.said.roll] == [1, 2]


@pytest.mark.parametrize("adapter", ADAPTERS)
@in_loop
async def test_key_at_two_tables_at_once_takes_one_deed_and_one_roll(
    adapter: str, tmp_path: Path
) -> None:
    async with two_nodes(adapter, tmp_path) as nodes:
        tables = [await nodes[0].create(OWNER, name, "DM", RULES, NOON) for name in "ab"]
        found = await asyncio.gather(
            *(
                node.say_deed(table.id, rolling, NOON, KNOCK._replace(body_hash=bytes([number])))
                for number, (node, table) in enumerate(zip(nodes, tables, strict=True))
            ),
            return_exceptions=True,
        )
        assert [type(one) for one in found].count(IdempotencyKeyReused) == 1
        for table in tables:
            next_line = await nodes[0].say_deed(table.id, rolling, NOON)
            assert next_line.said.roll == len(await nodes[0].lines(table.id, "", 9))


@in_loop
async def test_key_of_a_deed_is_free_after_a_day_and_with_its_table(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        first = await store.tables.say_deed(table.id, knocking, NOON, KNOCK)
        again = await store.tables.say_deed(table.id, knocking, NOON + DAY - 1, KNOCK)
        later = KNOCK._replace(body_hash=b"later")
        assert await store.tables.deed(later, NOON + DAY) is None
        second = await store.tables.say_deed(table.id, rolling, NOON + DAY, later)
        assert again == first != second
        assert await store.tables.deed(later, NOON + DAY) == second
        await store.tables.delete(table.id)
        assert await store.tables.deed(later, NOON + DAY) is None


@pytest.mark.parametrize("adapter", ADAPTERS)
@in_loop
async def test_deed_is_collected_in_a_round_once_for_a_key(adapter: str, tmp_path: Path) -> None:
    def collects(known: Round, number: int) -> tuple[Round, NewLine]:
        deed = Deed(user_id="olga", player_name="Olga", action=f"rolls {number}")
        return known.begun("olga", "key", None).with_deed(deed), rolling(number)

    async with two_nodes(adapter, tmp_path) as nodes:
        table = await nodes[0].create(OWNER, "a", "DM", RULES, NOON)
        copies = (nodes[count % 2].collect(table.id, collects, NOON, KNOCK) for count in range(6))
        first, *rest = await asyncio.gather(*copies)
        assert [deed.action for deed in first.deeds] == ["rolls 1"]
        assert rest == [first] * 5
        (line,) = await nodes[0].lines(table.id, "", 9)
        assert (line, line.said) == (await nodes[0].deed(KNOCK, NOON), rolling(1))
        assert await nodes[0].say_deed(table.id, rolling, NOON, KNOCK) == line
        assert await nodes[1].collect(table.id, lambda *_: None, NOON) == first
        with pytest.raises(IdempotencyKeyReused):
            await nodes[1].collect(table.id, collects, NOON, KNOCK._replace(body_hash=b"other"))
        other = await nodes[1].collect(table.id, collects, NOON, KNOCK._replace(key="k2"))
        assert [deed.action for deed in other.deeds] == ["rolls 2"]
