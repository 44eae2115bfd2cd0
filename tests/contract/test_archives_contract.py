"""What every `Archives` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from app.adapters.limits.postgres import PostgresLimiter
from app.adapters.store.postgres.archives import PostgresArchives
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.preparing import at_the_start
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.sqlite.archives import SqliteArchives
from app.adapters.store.sqlite.lock import StoreInUse
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.archive import Archive, ArchiveRefused, decode_archive, encode_archive
from app.core.context import CharacterProgress
from app.core.conversation import Exchange
from app.core.hub import session_event
from app.core.limits import Rule
from app.core.money import Amount
from app.core.rounds import Round
from app.core.table_prompt import Deed
from app.core.tables import ANSWERS, DeedKey, NewLine, Seat, Summary, TableRules
from app.ports.archives import Added, Archives
from app.ports.contents import KeptContent
from app.ports.conversations import ConversationKey, NewExchange
from app.ports.limits import Charge
from app.ports.turn import character_key

from databases import SERVERS
from journal import CHARACTER, HASH, NOON, USER, Hands, ending, entries, recording, turn_request
from loops import in_loop

WORD = "xyzzy"
"""Of the user who is forgotten, and of nobody else."""
ODD = "\0 \\ é"
OTHER = "bert"
HALF = "\ud800"


def sqlite_store(path: Path, now: Hands) -> SqliteTurnStore:
    return SqliteTurnStore(path, now)


def sqlite_rows(path: Path) -> bytes:
    """All that is in the file, deleted rows included, and beside it."""
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def postgres_store(path: Path, now: Hands) -> PostgresTurnStore:
    return PostgresTurnStore(_database(path), now, on_fatal=_unexpected)


def postgres_rows(path: Path) -> bytes:
    """All rows of all tables as text."""
    database = _database(path)
    tables = at_the_start(
        database, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )
    rows = [at_the_start(database, f"SELECT t::text FROM {name} t") for (name,) in tables]
    return "\n".join(row[0] for found in rows for row in found).encode()


def _database(path: Path) -> Database:
    """A schema for each path."""
    return Database(SERVERS.postgres.url(f"archives_{abs(hash(path))}"))


def _unexpected(reason: str) -> None:
    raise AssertionError(reason)


class Adapter(NamedTuple):
    """`store` and `archives` on the same journal, and every byte of it."""

    store: Callable[[Path, Hands], Any]
    archives: Callable[[Path], Archives]
    rows: Callable[[Path], bytes]


ADAPTERS = {
    "sqlite": Adapter(sqlite_store, SqliteArchives, sqlite_rows),
    "postgres": Adapter(
        postgres_store, lambda path: PostgresArchives(_database(path)), postgres_rows
    ),
}


@pytest.fixture(params=list(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@asynccontextmanager
async def opened(adapter: Adapter, path: Path) -> AsyncIterator[Any]:
    store = adapter.store(path, Hands())
    store.open()
    try:
        yield store
    finally:
        await store.aclose()


async def turn_of(store: Any, turn_id: str, at: Any = None, **fields: Any) -> None:
    """A turn that has ended; `at`: with which ending."""
    found: Any = await store.admit(turn_id, turn_request(**fields), HASH)
    await found.durable
    await store.finish(found.claim, at or ending())


async def played(store: Any) -> None:
    """Two turns of the character, one of which refers to content, one at a table, and one of another
    character."""
    parent = KeptContent("c0", USER, "npc", None, NOON, {"name": ODD})
    child = KeptContent("c1", USER, "story", "c0", NOON, {"text": ODD})
    for content in (parent, child, KeptContent("c9", USER, "npc", None, NOON, {})):
        await store.keep_content(content)
    progress = CharacterProgress(turns=2, minor_location="The mill")
    last = ending(
        progress=progress,
        place="vault",
        recording=recording(),
        entries=entries(1, 3),
        spent=Amount(7, 5),
    )
    await turn_of(store, "t1", last, idempotency_key="k1", user_action=ODD + HALF)
    await turn_of(store, "t2", ending("error"), references=("c1",))
    await turn_of(store, "t3", exclusive="table:1", kind="table")
    await turn_of(store, "t4", character_id="another")


def copied(archive: Archive) -> Archive:
    """By way of a file."""
    return decode_archive(encode_archive(archive))


@pytest.mark.parametrize("target", list(ADAPTERS))
@in_loop
async def test_a_character_is_the_same_in_another_journal(
    adapter: Adapter, target: str, tmp_path: Path
) -> None:
    source, path, other = tmp_path / "source.db", tmp_path / "target.db", ADAPTERS[target]
    async with opened(adapter, source) as store:
        await played(store)
        archive = copied(adapter.archives(source).read(USER, CHARACTER))
    assert [turn.turn_id for turn in archive.turns] == ["t1", "t2"]
    assert [content.content_id for content in archive.contents] == ["c0", "c1"]
    assert adapter.archives(source).players(CHARACTER) == [USER]
    async with opened(other, path) as store:
        archives = other.archives(path)
        assert archives.add(archive, check_only=True) == Added(2, 2)
        assert archives.players(CHARACTER) == []
        assert archives.add(archive) == Added(2, 2)
        assert archives.add(archive) == Added(0, 0)
        assert archives.read(USER, CHARACTER) == archive
        assert await store.cost_of(character_key(CHARACTER, USER)) == archive.cost_micros == 5
        turns = await store.character_turns(USER, CHARACTER, 9)
        assert [turn.turn_id for turn in turns] == ["t2", "t1"]
        assert turns[1].request["user_action"] == ODD + HALF
        assert await store.entries("t1") == entries(1, 3)
        assert (await store.turn("t1", recording=True)).recording == recording()
        assert (await store.progress(CHARACTER)).minor_location == "The mill"
        assert await store.knows_place(CHARACTER, "vault")
        assert (await store.content("c1")).parent_id == "c0"
        assert await store.content("c9") is None
        assert await store.find_by_key(USER, "k1", HASH) is None
        await store.spend(USER, Amount(1, 4), character_key(CHARACTER, USER))
        assert archives.add(archive) == Added(0, 0)
        assert archives.read(USER, CHARACTER).cost_micros == 9
        await turn_of(store, "t5", user_action="The story goes on.")


@in_loop
async def test_contradicting_archive_changes_nothing(adapter: Adapter, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(adapter, path) as store:
        await played(store)
        archives = adapter.archives(path)
        archive = archives.read(USER, CHARACTER)
        first, second = archive.turns
        new = first.model_copy(update={"turn_id": "t0"})
        content = archive.contents[0]
        changes: list[dict[str, Any]] = [
            {"progress": CharacterProgress(turns=9)},
            {"turns": (new, second.model_copy(update={"status": "complete"}))},
            {"turns": (new, second.model_copy(update={"request": {}}))},
            {"contents": (content.model_copy(update={"body": {}}),), "turns": (new,)},
            {"user_id": OTHER, "turns": (new, second)},
        ]
        for change in changes:
            with pytest.raises(ArchiveRefused, match="is here"):
                archives.add(archive.model_copy(update=change))
        assert archives.read(USER, CHARACTER) == archive
        found: Any = await store.admit("t6", turn_request(), HASH)
        await found.durable
        with pytest.raises(ArchiveRefused, match="turn t6 has not ended"):
            archives.read(USER, CHARACTER)


# -- erasing --------------------------------------------------------------------------------------


FORGOTTEN = "qwertz-user"


async def lived(store: Any) -> None:
    """A user with everything that a store can hold, and another one at the same tables."""
    tables = store.tables
    theirs = await tables.create(Seat(OTHER, "Bert"), "Inn", "DM", TableRules(), NOON)
    own = await tables.create(Seat(FORGOTTEN, WORD), "Cave", "DM", TableRules(), NOON)
    removed = Seat(FORGOTTEN, WORD, character_id=CHARACTER, present=False, removed=True)
    await tables.take_seat(theirs.id, removed)
    await tables.take_seat(own.id, Seat(OTHER, "Bert"))
    for table in (theirs, own):
        for line in _lines():
            await tables.say(table.id, line, NOON)
        deed = NewLine(WORD, WORD, "player", FORGOTTEN)
        deed_key = DeedKey(FORGOTTEN, f"{WORD} {table.id}", b"hash")
        await tables.say_deed(table.id, lambda _, deed=deed: deed, NOON, deed_key)
        await tables.put_summary(table.id, Summary(), Summary(text=WORD, upto=1))
        await tables.change_round(table.id, lambda known: _round(known), NOON)
        await turn_of(
            store,
            f"r{table.id}",
            user_id=OTHER,
            character_id="berts",
            exclusive=table.key,
            kind="table",
            about=WORD,
        )
    exchange = Exchange(
        message_id="m", username="x", message=WORD, asked_at=1, answer="", answered_at=1
    )
    key = ConversationKey(FORGOTTEN, "c")
    content = KeptContent("c0", FORGOTTEN, "npc", None, NOON, {"name": WORD})
    last = ending(
        progress=CharacterProgress(turns=2, minor_location=WORD),
        place=WORD,
        recording=recording(WORD),
        result={"narrative": WORD},
        content=content,
        exchange=NewExchange(key, 0, exchange, 5),
        event=session_event("session.joined", 1, "x", FORGOTTEN, {"name": WORD}),
        spent=Amount(7, 5),
    )
    await turn_of(store, "t1", last, user_id=FORGOTTEN, user_action=WORD, idempotency_key=WORD)
    await turn_of(store, "t2", user_id=OTHER, character_id="berts", user_action="I wait.")


def _lines() -> list[NewLine]:
    answer = NewLine(
        "DM", f"You say {WORD}.", "dm", data={ANSWERS: [[WORD, WORD], ["Bert", "I nod."]]}
    )
    return [
        NewLine(WORD, WORD, "player", FORGOTTEN),
        NewLine("DM", WORD, "dm", OTHER, recipient=FORGOTTEN),
        answer,
        NewLine("Bert", "I sing.", "player", OTHER),
        NewLine("DM", "He sings.", "dm", data={ANSWERS: [["Bert", "I sing."]]}),
    ]


def _round(known: Round) -> Round:
    deeds = [
        Deed(user_id=FORGOTTEN, player_name=WORD, action=WORD),
        Deed(user_id=OTHER, player_name="Bert", action="I nod."),
    ]
    begun = known.begun(FORGOTTEN, "key", None)
    return begun.with_deed(deeds[0]).with_deed(deeds[1]).with_away(FORGOTTEN, away=True)


@in_loop
async def test_nothing_of_a_forgotten_user_is_left(adapter: Adapter, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(adapter, path) as store:
        await lived(store)
    before = adapter.rows(path)
    assert before.count(WORD.encode()) > 10
    assert before.count(FORGOTTEN.encode()) > 5
    erased = adapter.archives(path).forget(FORGOTTEN, ["of journey-log"])
    assert erased["turns"] == 3
    assert {
        "events",
        "characters",
        "places",
        "spending",
        "costs",
        "conversations",
        "contents",
    } <= set(erased)
    after = adapter.rows(path)
    assert WORD.encode() not in after
    assert FORGOTTEN.encode() not in after
    assert adapter.archives(path).forget(FORGOTTEN) == {}
    async with opened(adapter, path) as store:
        (table,) = await store.tables.of_user(OTHER)
        said = [line.said.content for line in await store.tables.lines(table.id, OTHER, 9)]
        assert said == ["I sing.", "He sings."]
        assert await store.tables.removed(table.id) == []
        assert await store.tables.take_seat(table.id, Seat(FORGOTTEN, "Anew"))
        left = await store.tables.round(table.id)
        assert [deed.user_id for deed in left.deeds] == [left.user_id] == [OTHER]
        assert (await store.turn("t2")).status == "complete"
        assert await store.entries("t2") == entries(9)


@in_loop
async def test_a_user_with_an_open_turn_is_not_forgotten(adapter: Adapter, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(adapter, path) as store:
        await lived(store)
        (table,) = [one for one in await store.tables.of_user(OTHER) if one.owner == OTHER]
        request = turn_request(user_id=OTHER, exclusive=table.key, kind="table")
        found: Any = await store.admit("t9", request, HASH)
        await found.durable
    before = adapter.rows(path).count(WORD.encode())
    with pytest.raises(ArchiveRefused, match="turn t9 has not ended"):
        adapter.archives(path).forget(FORGOTTEN)
    assert adapter.rows(path).count(WORD.encode()) >= before


@in_loop
async def test_rate_windows_of_others_are_left(tmp_path: Path) -> None:
    """Also of users whose id is a part of another's, or of a rule's name."""
    adapter, path = ADAPTERS["postgres"], tmp_path / "store.db"
    windows = {"user": ["user", "mara", "users"], "character": ["mara:c1", "user:c1"]}
    charges = [Charge(Rule(rule, 9, 60.0), key) for rule, keys in windows.items() for key in keys]
    async with opened(adapter, path) as store:
        await PostgresLimiter(store.engine).take(charges)
    erased = adapter.archives(path).forget("user")
    assert (erased["windows"], erased["hits"]) == (2, 2)


@in_loop
async def test_a_file_that_a_server_has_is_not_rewritten(tmp_path: Path) -> None:
    async with opened(ADAPTERS["sqlite"], tmp_path / "store.db"):
        with pytest.raises(StoreInUse):
            SqliteArchives(tmp_path / "store.db").forget(FORGOTTEN)
