"""What every `JourneyLog` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.journey_log.exchanges import DirectExchange, HttpxExchange
from app.adapters.journey_log.guarded import GuardedJourneyLog
from app.core.breaker import BreakerRule, CircuitBreaker
from app.core.writes import PlannedWrite, marker_time
from app.errors import CharacterExists, CharacterNotFound, Forbidden, ValidationError
from app.ports.call import CallMeta
from app.ports.journey_log import JourneyLog
from app.standins.journey_log import EmbeddedJourneyLog

from fakes.journey_log import FakeJourneyLog
from listener import listening
from loops import in_loop

META = CallMeta("request-1")
NOBODY = "00000000-0000-4000-8000-000000000000"
MARKER = 1_800_000_000_123_456
USER = "mara"
NEW = {"name": "Ayla", "race": "Elf", "class": "Mage", "adventure_prompt": "A road."}


def standin(stack: ExitStack, directory: Path) -> EmbeddedJourneyLog:
    journey_log = EmbeddedJourneyLog(directory / "journey-log.db")
    journey_log.open()
    stack.callback(journey_log.close)
    return journey_log


def over(url: str) -> JourneyLogClient:
    tls = ssl.create_default_context()
    return JourneyLogClient(DirectExchange(url, httpx.Timeout(30), limit=50, tls=tls))


def embedded(stack: ExitStack, directory: Path) -> JourneyLog:
    """The stand-in, called in the process."""
    transport = httpx.ASGITransport(standin(stack, directory).app)
    return JourneyLogClient(HttpxExchange(transport, "http://journey-log"))


def over_socket(stack: ExitStack, directory: Path) -> JourneyLog:
    """The stand-in behind a real socket and our own HTTP client."""
    return over(stack.enter_context(listening(standin(stack, directory).app)))


def guarded(stack: ExitStack, directory: Path) -> JourneyLog:
    """Behind a circuit breaker, before the fake server that can fail at every point."""
    server = stack.enter_context(FakeJourneyLog())
    return GuardedJourneyLog(over(server.url), CircuitBreaker(BreakerRule()))


ADAPTERS: dict[str, Callable[[ExitStack, Path], JourneyLog]] = {
    "embedded": embedded,
    "socket": over_socket,
    "guarded": guarded,
}


class Target:
    """Opens the adapter inside the test's loop."""

    def __init__(self, adapter: str, stack: ExitStack, directory: Path) -> None:
        self._make: Callable[[], JourneyLog] = lambda: ADAPTERS[adapter](stack, directory)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[JourneyLog]:
        journey_log = self._make()
        try:
            yield journey_log
        finally:
            await journey_log.aclose()


@pytest.fixture(params=list(ADAPTERS))
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with ExitStack() as stack:
        yield Target(request.param, stack, tmp_path)


def planned(subsystem: Any, method: Any, path: str, body: Any, **more: Any) -> PlannedWrite:
    fields = {"subsystem": subsystem, "action": "x", "method": method, "path": path, "body": body}
    return PlannedWrite(**(fields | {"marker": MARKER} | more))


def narrative(marker: int = MARKER) -> PlannedWrite:
    stamp = marker_time(marker)
    body = {"user_action": "go", "ai_response": "It rings. \U0001f525", "timestamp": stamp}
    return planned("narrative", "POST", "/narrative", body, marker=marker)


def poi(marker: int = MARKER) -> PlannedWrite:
    body = {"name": "Vault", "description": "It hums.", "timestamp": marker_time(marker)}
    return planned("poi", "POST", "/pois", body, marker=marker)


def quest(marker: int = MARKER) -> PlannedWrite:
    body = {
        "name": "The Bell",
        "description": "Ring it.",
        "requirements": [],
        "rewards": {"items": [], "currency": {}, "experience": None},
        "completion_state": "not_started",
        "updated_at": marker_time(marker),
    }
    return planned("quest", "PUT", "/quest", body, marker=marker)


def quest_end(replaces: int) -> PlannedWrite:
    return planned("quest", "DELETE", "/quest", None, replaces=marker_time(replaces))


def combat(turn: int | None) -> PlannedWrite:
    state = {
        "combat_id": "c",
        "started_at": marker_time(MARKER),
        "turn": turn,
        "enemies": [{"enemy_id": "e", "name": "Wolf", "status": "Healthy"}],
    }
    body = {"combat_state": None if turn is None else state}
    return planned("combat", "PUT", "/combat", body)


async def hero(journey_log: JourneyLog) -> str:
    return await journey_log.create_character(USER, NEW, META)


# -- characters and contexts ----------------------------------------------------------------------


@in_loop
async def test_a_new_character_has_a_context_and_is_listed(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        context = await journey_log.context(USER, character, META)
        (listed,) = await journey_log.characters(USER, META)
        assert await journey_log.sparks(USER, character, META) == []
    assert context.character_id == character == listed["character_id"]
    assert context.player_state.identity.name == "Ayla"
    assert (context.is_dead, context.quest, context.active_combat) == (False, None, None)


@in_loop
async def test_characters_belong_to_their_user(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        with pytest.raises(Forbidden):
            await journey_log.context("ben", character, META)
        assert await journey_log.characters("ben", META) == []


@in_loop
async def test_an_unknown_character_is_not_found(target: Target) -> None:
    async with target.open() as journey_log:
        with pytest.raises(CharacterNotFound):
            await journey_log.context(USER, NOBODY, META)
        with pytest.raises(CharacterNotFound):
            await journey_log.landed(USER, NOBODY, narrative(), META)


@in_loop
async def test_a_character_cannot_be_created_twice_or_badly(target: Target) -> None:
    async with target.open() as journey_log:
        await hero(journey_log)
        with pytest.raises(CharacterExists):
            await hero(journey_log)
        with pytest.raises(ValidationError):
            await journey_log.create_character(USER, NEW | {"name": "x" * 65}, META)


@in_loop
async def test_the_service_is_available(target: Target) -> None:
    async with target.open() as journey_log:
        assert await journey_log.available()


# -- writes ---------------------------------------------------------------------------------------

WRITES = {"narrative": narrative(), "poi": poi(), "quest": quest(), "combat": combat(1)}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
@in_loop
async def test_a_write_is_found_again_once_it_is_done(target: Target, write: PlannedWrite) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        assert await journey_log.landed(USER, character, write, META) == "no"
        result = await journey_log.write(USER, character, write, META)
        assert result.outcome == "done"
        assert await journey_log.landed(USER, character, write, META) == "yes"


@pytest.mark.parametrize("write", [narrative(), poi()], ids=["narrative", "poi"])
@in_loop
async def test_a_write_is_not_taken_for_its_neighbour(target: Target, write: PlannedWrite) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        make = narrative if write.subsystem == "narrative" else poi
        for marker in (MARKER - 1_000, MARKER + 1_000):
            await journey_log.write(USER, character, make(marker), META)
        assert await journey_log.landed(USER, character, write, META) == "no"


@in_loop
async def test_written_data_shows_in_the_context(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        for write in WRITES.values():
            await journey_log.write(USER, character, write, META)
        context = await journey_log.context(USER, character, META)
        sparks = await journey_log.sparks(USER, character, META)
    assert [turn.gm_response for turn in context.narrative.recent_turns] == ["It rings. \U0001f525"]
    assert context.quest is not None
    assert context.quest.name == "The Bell"
    assert context.active_combat is not None
    assert [place.name for place in sparks] == ["Vault"]
    assert round(context.newest_timestamp * 1_000_000) == MARKER


@in_loop
async def test_a_second_quest_is_refused_and_seen_as_another(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        await journey_log.write(USER, character, quest(), META)
        second = quest(MARKER + 5)
        result = await journey_log.write(USER, character, second, META)
        assert (result.outcome, result.status) == ("refused", 409)
        assert await journey_log.landed(USER, character, second, META) == "other"


@in_loop
async def test_the_end_of_a_quest_means_that_quest(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        await journey_log.write(USER, character, quest(), META)
        meant, other = quest_end(MARKER), quest_end(MARKER - 5)
        assert await journey_log.landed(USER, character, meant, META) == "no"
        assert await journey_log.landed(USER, character, other, META) == "other"
        assert (await journey_log.write(USER, character, meant, META)).outcome == "done"
        assert await journey_log.landed(USER, character, meant, META) == "yes"


@in_loop
async def test_a_round_of_combat_is_not_taken_for_another(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        await journey_log.write(USER, character, combat(1), META)
        assert await journey_log.landed(USER, character, combat(2), META) == "no"
        assert await journey_log.landed(USER, character, combat(None), META) == "no"
        await journey_log.write(USER, character, combat(None), META)
        assert await journey_log.landed(USER, character, combat(None), META) == "yes"


@in_loop
async def test_a_refused_write_is_an_answer_and_not_an_error(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        too_long = planned("narrative", "POST", "/narrative", {"user_action": "x" * 9_000})
        for user, id_, write in ((USER, character, too_long), ("ben", character, narrative())):
            result = await journey_log.write(user, id_, write, META)
            assert result.outcome == "refused"
            assert result.error
        gone = await journey_log.write(USER, NOBODY, narrative(), META)
        assert (gone.outcome, gone.status) == ("refused", 404)
        assert await journey_log.landed(USER, character, narrative(), META) == "no"


@in_loop
async def test_writes_at_once_all_arrive_once(target: Target) -> None:
    async with target.open() as journey_log:
        character = await hero(journey_log)
        writes = [narrative(MARKER + n * 1_000) for n in range(20)]
        results = await asyncio.gather(
            *(journey_log.write(USER, character, write, META) for write in writes)
        )
        assert {result.outcome for result in results} == {"done"}
        context = await journey_log.context(USER, character, META)
    stamps = [turn.timestamp for turn in context.narrative.recent_turns]
    assert len(stamps) == len(set(stamps)) == 20


@in_loop
async def test_adventure_prompt_is_kept_with_white_space_collapsed(target: Target) -> None:
    async with target.open() as journey_log:
        fields = {**NEW, "adventure_prompt": "A  road\n\nsouth."}
        character = await journey_log.create_character(USER, fields, META)
        prompt = await journey_log.adventure_prompt(USER, character, META)
        assert prompt == "A road south."
        with pytest.raises(Forbidden):
            await journey_log.adventure_prompt("ann", character, META)
        with pytest.raises(CharacterNotFound):
            await journey_log.adventure_prompt(USER, NOBODY, META)


@in_loop
async def test_story_is_newest_first(target: Target) -> None:
    async with target.open() as journey_log:
        character = await journey_log.create_character(USER, NEW, META)
        assert await journey_log.story(USER, character, META) == []
        for number in range(3):
            written = narrative(MARKER + number * 1_000)
            assert (await journey_log.write(USER, character, written, META)).outcome == "done"
        story = await journey_log.story(USER, character, META)
        assert [round(turn.played_at * 1_000_000) for turn in story] == [
            MARKER + number * 1_000 for number in (2, 1, 0)
        ]
        assert {(turn.user_action, turn.narrative) for turn in story} == {
            ("go", "It rings. \U0001f525")
        }
        assert len({turn.id for turn in story}) == 3
        with pytest.raises(Forbidden):
            await journey_log.story("ann", character, META)
        with pytest.raises(CharacterNotFound):
            await journey_log.story(USER, NOBODY, META)
