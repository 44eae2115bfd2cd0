"""Our client of journey-log: what goes over the wire, what comes back, and what is never repeated."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
import stamina.instrumentation
from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.journey_log.exchanges import DirectExchange
from app.core.context import Context
from app.core.writes import PlannedWrite, marker_time
from app.errors import (
    CharacterExists,
    CharacterNotFound,
    DungeonMasterError,
    Forbidden,
    JourneyLogError,
    JourneyLogTimeout,
    ValidationError,
)
from app.ports.call import CallMeta
from app.ports.journey_log import WriteResult
from app.retrying import Backoff

from fakes.journey_log import (
    FakeJourneyLog,
    Fault,
    answers,
    drops,
    hangs,
    proxy_error,
    resets,
)
from fakes.server import Connection, FakeServer, Request, to_json
from loops import SteadyLoop

Result = TypeVar("Result")
Json = dict[str, Any]
MARKER = 1_800_000_000_123_456
META = CallMeta("request-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
NOBODY = "00000000-0000-4000-8000-000000000000"
QUICK = Backoff(max_retries=2, delay_base=0.001, delay_max=0.002)
QUEST = {
    "name": "The Bell",
    "description": "Ring it.",
    "requirements": [],
    "rewards": {"items": [], "currency": {}, "experience": None},
    "completion_state": "not_started",
    "updated_at": marker_time(MARKER),
}
COMBAT = {
    "combat_id": "c",
    "started_at": marker_time(MARKER),
    "turn": 1,
    "enemies": [{"enemy_id": "e", "name": "Wolf", "status": "Healthy"}],
}


def write(subsystem: Any, method: Any, path: str, body: Json | None) -> PlannedWrite:
    return PlannedWrite(
        subsystem=subsystem, action="x", method=method, path=path, body=body, marker=MARKER
    )


STAMP = marker_time(MARKER)
TURN = {"user_action": "go", "ai_response": "It rings. \U0001f525\u2028", "timestamp": STAMP}
POI = {"name": "Vault", "description": "It hums.", "timestamp": STAMP, "tags": ["hum"]}
WRITES = {
    "quest": write("quest", "PUT", "/quest", QUEST),
    "quest_delete": write("quest", "DELETE", "/quest", None),
    "combat": write("combat", "PUT", "/combat", {"combat_state": COMBAT}),
    "poi": write("poi", "POST", "/pois", POI),
    "narrative": write("narrative", "POST", "/narrative", TURN),
}


def calling(
    url: str,
    work: Callable[[JourneyLogClient], Awaitable[Result]],
    *,
    timeout: float | httpx.Timeout = 5.0,
    connections: int = 10,
    **options: Any,
) -> Result:
    """Does `work` with a client like the one the service has."""

    async def run() -> Result:
        tls = ssl.create_default_context()
        exchange = DirectExchange(url, httpx.Timeout(timeout), limit=connections, tls=tls)
        client = JourneyLogClient(exchange, **{"reads": QUICK, **options})
        try:
            return await work(client)
        finally:
            await client.aclose()

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        return runner.run(run())


def context(character_id: str, user: str = "local") -> Callable[[JourneyLogClient], Any]:
    return lambda client: client.context(user, character_id, META)


def writing(planned: PlannedWrite, character_id: str, user: str = "local") -> Any:
    return lambda client: client.write(user, character_id, planned, META)


class Canned(FakeServer):
    """Gives every request the same answer."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self._answer = status, body, headers

    async def respond(self, request: Request, connection: Connection) -> None:
        connection.reply(*self._answer)


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


# -- what goes out --------------------------------------------------------------------------------


def test_the_context_is_asked_for_with_its_window_and_places(journey_log: FakeJourneyLog) -> None:
    character = journey_log.seed_character()
    calling(journey_log.url, context(character), recent_n=7)
    request = journey_log.requests[0]
    assert (request.method, request.path) == ("GET", f"/characters/{character}/context")
    assert request.query == {"recent_n": "7", "include_pois": "true"}


def every_call(character: str) -> Callable[[JourneyLogClient], Awaitable[None]]:
    async def work(client: JourneyLogClient) -> None:
        await client.context("local", character, META)
        await client.sparks("local", character, META)
        await client.characters("local", META)
        for planned in WRITES.values():
            await client.write("local", character, planned, META)
        fields = {"name": "Bren", "race": "Elf", "class": "Mage", "adventure_prompt": "A road."}
        await client.create_character("local", fields, META)

    return work


def test_every_call_names_its_user_its_request_and_its_trace(journey_log: FakeJourneyLog) -> None:
    calling(journey_log.url, every_call(journey_log.seed_character()))
    assert len(journey_log.requests) == 9
    for request in journey_log.requests:
        assert request.headers["x-user-id"] == "local"
        assert request.headers["x-request-id"] == META.request_id
        assert request.headers["traceparent"] == META.traceparent


def test_without_a_trace_none_is_invented(journey_log: FakeJourneyLog) -> None:
    character = journey_log.seed_character()
    bare = CallMeta("request-1")
    calling(journey_log.url, lambda client: client.context("local", character, bare))
    assert "traceparent" not in journey_log.requests[0].headers


@pytest.mark.parametrize("kind", WRITES)
def test_a_write_is_sent_as_it_was_planned(journey_log: FakeJourneyLog, kind: str) -> None:
    quest = None if kind == "quest" else QUEST
    character = journey_log.seed_character(quest=quest)
    planned = WRITES[kind]
    result = calling(journey_log.url, writing(planned, character))
    assert result.outcome == "done"
    (request,) = journey_log.requests
    assert request.method == planned.method
    assert request.path == f"/characters/{character}{planned.path}"
    assert journey_log.kinds(character) == [kind]
    assert journey_log.writes[0].body == planned.body
    if planned.body is not None:
        assert request.headers["content-type"] == "application/json"


def test_calls_are_observed_with_operation_status_and_seconds(journey_log: FakeJourneyLog) -> None:
    seen: list[tuple[str, str]] = []
    character = journey_log.seed_character()
    journey_log.fail("narrative", answers(503), hangs(), drops())

    async def work(client: JourneyLogClient) -> None:
        await client.context("local", character, META)
        for _ in range(4):
            await client.write("local", character, WRITES["narrative"], META)

    def observe(operation: str, status: str, seconds: float) -> None:
        assert 0 <= seconds < 5
        seen.append((operation, status))

    calling(journey_log.url, work, timeout=0.2, observe=observe)
    assert seen == [
        ("context", "200"),
        ("post_narrative", "503"),
        ("post_narrative", "timeout"),
        ("post_narrative", "error"),
        ("post_narrative", "201"),
    ]


# -- what comes back ------------------------------------------------------------------------------


def test_a_context_is_read_field_by_field(journey_log: FakeJourneyLog) -> None:
    character = journey_log.seed_character(
        name="Arin", status="Wounded", quest=QUEST, combat=COMBAT, turns=[TURN], pois=[POI]
    )
    found: Context = calling(journey_log.url, context(character))
    player = found.player_state
    assert (player.identity.name, player.identity.class_name) == ("Arin", "Ranger")
    assert (player.status, player.location.display_name) == ("Wounded", "The Nexus")
    assert found.quest
    assert found.quest.name == "The Bell"
    assert found.active_combat
    assert found.active_combat.enemies[0].name == "Wolf"
    assert found.narrative.recent_turns[0].gm_response == TURN["ai_response"]
    assert found.world.pois_sample[0].name == "Vault"
    assert round(found.newest_timestamp * 1_000_000) == MARKER


def shaped(**player: Any) -> Json:
    return {"character_id": "c", "player_state": player, "new_field": [1]}


def read(body: Json) -> Context:
    with Canned(200, to_json(body)) as server:
        found: Context = calling(server.url, context("c"))
    return found


@pytest.mark.parametrize(
    ("location", "label"),
    [
        ({"id": "x", "display_name": "The Mill"}, "The Mill"),
        ({"id": "x", "display_name": None}, "x"),
        ({"id": 7}, "7"),
        ({"somewhere": "else"}, ""),
        ("the mill", "the mill"),
        ("", ""),
        (None, ""),
        ({}, ""),
    ],
)
def test_a_location_of_any_shape_is_understood(location: Any, label: str) -> None:
    assert read(shaped(location=location)).player_state.location.label == label


def test_a_context_with_nothing_in_it_is_understood() -> None:
    found = read(shaped())
    assert (found.quest, found.active_combat, found.newest_timestamp) == (None, None, 0.0)
    assert found.player_state.identity.name == "The adventurer"
    assert not found.is_dead


def test_equipment_and_inventory_are_distinguished_by_name() -> None:
    rows = [{"name": "Sword", "damage": "1d6", "special_effects": {"fire": 1}}, {"name": None}, 7]
    player = read(shaped(equipment=rows, inventory=[{"name": "Rope", "quantity": 2}])).player_state
    assert (player.equipment, player.inventory) == (["Sword"], ["Rope"])


@pytest.mark.parametrize("active", [True, False])
def test_a_combat_counts_only_while_it_is_active(active: bool) -> None:
    body = {**shaped(), "combat": {"active": active, "state": COMBAT if active else None}}
    assert (read(body).active_combat is not None) is active


# -- reads that fail ------------------------------------------------------------------------------


def test_an_unknown_character_is_not_found(journey_log: FakeJourneyLog) -> None:
    with pytest.raises(CharacterNotFound):
        calling(journey_log.url, context(NOBODY))
    assert len(journey_log.requests) == 1


def test_the_character_of_another_user_is_forbidden(journey_log: FakeJourneyLog) -> None:
    character = journey_log.seed_character(user="somebody")
    with pytest.raises(Forbidden):
        calling(journey_log.url, context(character))
    assert len(journey_log.requests) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (answers(500), JourneyLogError),
        (answers(503), JourneyLogError),
        (answers(429), JourneyLogError),
        (answers(408), JourneyLogError),
        (proxy_error(502), JourneyLogError),
        (drops(), JourneyLogError),
        (resets(), JourneyLogError),
        (hangs(), JourneyLogTimeout),
    ],
    ids=["500", "503", "429", "408", "proxy", "FIN", "RST", "deaf"],
)
def test_a_read_that_may_pass_is_tried_again_and_then_given_up(
    journey_log: FakeJourneyLog, fault: Fault, error: type[DungeonMasterError]
) -> None:
    character = journey_log.seed_character()
    journey_log.always("context", fault)
    with pytest.raises(error):
        calling(journey_log.url, context(character), timeout=0.2)
    assert len(journey_log.requests) == 1 + QUICK.max_retries


@pytest.mark.parametrize("fault", [answers(503), proxy_error(502), drops(), resets(), hangs()])
def test_a_read_that_passes_the_second_time_is_not_noticed(
    journey_log: FakeJourneyLog, fault: Fault
) -> None:
    character = journey_log.seed_character()
    journey_log.fail("context", fault)
    found: Context = calling(journey_log.url, context(character), timeout=0.2)
    assert found.character_id == character
    assert len(journey_log.requests) == 2


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """The seconds of each pause before a retry."""
    found: list[float] = []
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([lambda details: found.append(details.wait_for)])
    yield found
    stamina.instrumentation.set_on_retry_hooks(before)


def test_pauses_double_up_to_their_limit(journey_log: FakeJourneyLog, waits: list[float]) -> None:
    character = journey_log.seed_character()
    journey_log.always("context", answers(503))
    patient = Backoff(max_retries=4, delay_base=0.002, delay_max=0.007)
    with pytest.raises(JourneyLogError):
        calling(journey_log.url, context(character), reads=patient)
    assert waits == pytest.approx([0.002, 0.004, 0.007, 0.007])


@pytest.mark.parametrize("status", [400, 401, 405, 409, 422, 301, 307])
def test_a_refused_read_is_not_tried_again(journey_log: FakeJourneyLog, status: int) -> None:
    character = journey_log.seed_character()
    journey_log.always("context", answers(status))
    with pytest.raises(JourneyLogError):
        calling(journey_log.url, context(character))
    assert len(journey_log.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{", b"[]", b"null", b"{}", b'{"character_id": "c"}', b"\xff\xfe"],
)
def test_an_answer_that_cannot_be_read_is_an_error(body: bytes) -> None:
    with Canned(200, body) as server, pytest.raises(JourneyLogError, match="cannot be read"):
        calling(server.url, context("c"))


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"<html>Not Found</html>"), (404, b'{"detail": "Not Found"}'), (404, b"")],
)
def test_the_404_of_something_else_is_no_missing_character(status: int, body: bytes) -> None:
    with Canned(status, body) as server, pytest.raises(JourneyLogError):
        calling(server.url, context("c"))


def test_redirects_are_not_followed(journey_log: FakeJourneyLog) -> None:
    away = {"location": f"{journey_log.url}/characters/{journey_log.seed_character()}/context"}
    with Canned(307, b"", away) as server:
        with pytest.raises(JourneyLogError):
            calling(server.url, context("c"))
        result = calling(server.url, writing(WRITES["narrative"], "c"))
    assert result.outcome == "unknown"
    assert journey_log.requests == []


def test_a_journey_log_that_is_not_there_is_an_error(nowhere: str) -> None:
    with pytest.raises(JourneyLogError, match="cannot be reached"):
        calling(nowhere, context("c"))


def test_errors_hold_no_address(nowhere: str) -> None:
    with pytest.raises(JourneyLogError) as caught:
        calling(nowhere, context("c"))
    assert "127.0.0.1" not in str(caught.value)


# -- sparks ---------------------------------------------------------------------------------------


def sparks(character_id: str) -> Callable[[JourneyLogClient], Any]:
    return lambda client: client.sparks("local", character_id, META)


def test_sparks_are_places_drawn_at_random(journey_log: FakeJourneyLog) -> None:
    pois = [{**POI, "name": f"Place {n}"} for n in range(5)]
    character = journey_log.seed_character(pois=pois)
    found = calling(journey_log.url, sparks(character), spark_count=4)
    assert len({place.name for place in found}) == 4
    assert journey_log.requests[0].query == {"n": "4"}


@pytest.mark.parametrize(
    "fault", [answers(500), answers(404), proxy_error(502), drops(), resets(), hangs()]
)
def test_sparks_that_cannot_be_had_are_none_and_not_tried_again(
    journey_log: FakeJourneyLog, fault: Fault
) -> None:
    character = journey_log.seed_character(pois=[POI])
    journey_log.always("pois_random", fault)
    assert calling(journey_log.url, sparks(character), timeout=0.2) == []
    assert len(journey_log.requests) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"pois": 7}'])
def test_sparks_that_cannot_be_read_are_none(body: bytes) -> None:
    with Canned(200, body) as server:
        assert calling(server.url, sparks("c")) == []


# -- writes: what an answer means -----------------------------------------------------------------


def narrative(character_id: str) -> Any:
    return writing(WRITES["narrative"], character_id)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_journey_logs_own_no_is_a_refusal(journey_log: FakeJourneyLog, status: int) -> None:
    character = journey_log.seed_character()
    journey_log.fail("narrative", answers(status))
    result: WriteResult = calling(journey_log.url, narrative(character))
    assert (result.outcome, result.status) == ("refused", status)


def test_a_quest_beside_an_active_one_is_refused_with_409(journey_log: FakeJourneyLog) -> None:
    character = journey_log.seed_character(quest=QUEST)
    result: WriteResult = calling(journey_log.url, writing(WRITES["quest"], character))
    assert (result.outcome, result.status) == ("refused", 409)


def test_an_over_long_narrative_is_refused_with_422(journey_log: FakeJourneyLog) -> None:
    long = write("narrative", "POST", "/narrative", {**TURN, "ai_response": "x" * 32_001})
    result: WriteResult = calling(journey_log.url, writing(long, journey_log.seed_character()))
    assert (result.outcome, result.status) == ("refused", 422)


@pytest.mark.parametrize(
    "fault",
    [
        answers(408),
        answers(429),
        answers(500),
        answers(503),
        proxy_error(502),
        proxy_error(404),
        proxy_error(422),
        answers(302),
    ],
    ids=["408", "429", "500", "503", "proxy 502", "proxy 404", "proxy 422", "redirect"],
)
def test_any_other_answer_leaves_the_fate_of_a_write_unknown(
    journey_log: FakeJourneyLog, fault: Fault
) -> None:
    character = journey_log.seed_character()
    journey_log.fail("narrative", fault)
    result: WriteResult = calling(journey_log.url, narrative(character))
    assert (result.outcome, result.status) == ("unknown", fault.status)
    assert len(journey_log.requests) == 1


def test_only_a_connection_that_was_never_made_is_not_sent(nowhere: str) -> None:
    result: WriteResult = calling(nowhere, narrative("c"))
    assert (result.outcome, result.status) == ("not_sent", None)


def test_a_write_that_got_no_connection_of_a_full_pool_is_not_sent(
    journey_log: FakeJourneyLog,
) -> None:
    character = journey_log.seed_character()
    journey_log.fail("narrative", hangs())

    async def two(client: JourneyLogClient) -> list[WriteResult]:
        first = asyncio.create_task(narrative(character)(client))
        await journey_log.eventually(lambda: len(journey_log.requests) == 1)
        return [await narrative(character)(client), await first]

    patience = httpx.Timeout(0.5, pool=0.05)
    results: list[WriteResult] = calling(journey_log.url, two, timeout=patience, connections=1)
    assert [result.outcome for result in results] == ["not_sent", "unknown"]
    assert len(journey_log.requests) == 1


# -- writes: once on the wire ---------------------------------------------------------------------

FAULTS = {
    "FIN": drops,
    "RST": resets,
    "deaf": hangs,
    "503": lambda commit: answers(503, commit=commit),
    "proxy 502": lambda commit: proxy_error(502, commit=commit),
}


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("commit", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("kept_alive", [True, False], ids=["kept alive", "fresh"])
def test_a_write_is_on_the_wire_once_whatever_happens_to_it(
    journey_log: FakeJourneyLog, kind: str, fault: str, commit: bool, kept_alive: bool
) -> None:
    character = journey_log.seed_character(quest=None if kind == "quest" else QUEST)
    journey_log.fail(kind, FAULTS[fault](commit=commit))  # type: ignore[operator]

    async def work(client: JourneyLogClient) -> tuple[WriteResult, list[str]]:
        if kept_alive:
            await client.context("local", character, META)
        result = await client.write("local", character, WRITES[kind], META)
        later = await client.context("local", character, META)
        assert later.character_id == character
        return result, [request.method for request in journey_log.requests]

    result, methods = calling(journey_log.url, work, timeout=0.15)
    sent = [method for method in methods if method != "GET"]
    assert sent == [WRITES[kind].method]
    assert result.outcome == "unknown"
    assert journey_log.kinds(character) == ([kind] if commit else [])
    if kept_alive:
        first, second = journey_log.requests[:2]
        assert first.connection == second.connection


@pytest.mark.parametrize("kind", WRITES)
def test_a_write_on_a_connection_that_the_server_has_just_closed_is_never_sent_twice(
    journey_log: FakeJourneyLog, kind: str
) -> None:
    """The classic race of kept-alive connections; some clients repeat PUT and DELETE by themselves."""
    character = journey_log.seed_character(quest=None if kind == "quest" else QUEST)

    async def work(client: JourneyLogClient) -> WriteResult:
        await client.context("local", character, META)
        await asyncio.to_thread(journey_log.close)
        await asyncio.to_thread(journey_log.start)
        return await client.write("local", character, WRITES[kind], META)

    result: WriteResult = calling(journey_log.url, work)
    sent = [request for request in journey_log.requests if request.method != "GET"]
    assert len(sent) <= 1
    assert result.outcome == ("done" if sent else "unknown")
    assert len(journey_log.kinds(character)) == len(sent)


# -- looking whether a write has landed -----------------------------------------------------------

LATER = marker_time(MARKER + 1_000)
OTHER_QUEST = {**QUEST, "updated_at": LATER}
ENDED = write("combat", "PUT", "/combat", {"combat_state": None})
DELETED = WRITES["quest_delete"].model_copy(update={"replaces": QUEST["updated_at"]})
NEWER_POIS = [{**POI, "timestamp": marker_time(MARKER + n)} for n in range(1, 251)]
OLDER_POIS = [{**POI, "timestamp": marker_time(MARKER - n)} for n in range(1, 251)]
NEWER_TURNS = [{**TURN, "timestamp": marker_time(MARKER + n)} for n in range(1, 50)]


@pytest.mark.parametrize(
    ("planned", "there", "expected"),
    [
        (WRITES["narrative"], {"turns": [TURN]}, "yes"),
        (WRITES["narrative"], {"turns": [TURN, *NEWER_TURNS]}, "yes"),
        (WRITES["narrative"], {"turns": NEWER_TURNS}, "no"),
        (WRITES["narrative"], {}, "no"),
        (WRITES["poi"], {"pois": [POI]}, "yes"),
        (WRITES["poi"], {"pois": [POI, *NEWER_POIS]}, "yes"),
        (WRITES["poi"], {"pois": [*OLDER_POIS, *NEWER_POIS]}, "no"),
        (WRITES["poi"], {}, "no"),
        (WRITES["quest"], {"quest": QUEST}, "yes"),
        (WRITES["quest"], {"quest": OTHER_QUEST}, "other"),
        (WRITES["quest"], {}, "no"),
        (DELETED, {}, "yes"),
        (DELETED, {"quest": QUEST}, "no"),
        (DELETED, {"quest": OTHER_QUEST}, "other"),
        (WRITES["combat"], {"combat": COMBAT}, "yes"),
        (WRITES["combat"], {"combat": {**COMBAT, "turn": 2}}, "no"),
        (WRITES["combat"], {"combat": {**COMBAT, "combat_id": "other"}}, "no"),
        (WRITES["combat"], {}, "no"),
        (ENDED, {}, "yes"),
        (ENDED, {"combat": COMBAT}, "no"),
    ],
)
def test_write_is_recognised_by_its_marker(
    journey_log: FakeJourneyLog, planned: PlannedWrite, there: Json, expected: str
) -> None:
    character = journey_log.seed_character(**there)
    found = calling(journey_log.url, looking(planned, character))
    assert found == expected
    assert {request.method for request in journey_log.requests} == {"GET"}


def looking(planned: PlannedWrite, character_id: str) -> Callable[[JourneyLogClient], Any]:
    return lambda client: client.landed("local", character_id, planned, META)


@pytest.mark.parametrize("planned", [*WRITES.values(), ENDED])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", b'{"turns": [7]}'])
def test_unreadable_answer_leaves_the_fate_of_a_write_unknown(
    planned: PlannedWrite, body: bytes
) -> None:
    with Canned(200, body) as server, pytest.raises(JourneyLogError):
        calling(server.url, looking(planned, "c"))


@pytest.mark.parametrize("fault", [answers(503), drops(), resets(), hangs()])
def test_looking_is_one_attempt(journey_log: FakeJourneyLog, fault: Fault) -> None:
    character = journey_log.seed_character()
    journey_log.always("narrative_get", fault)
    with pytest.raises(DungeonMasterError):
        calling(journey_log.url, looking(WRITES["narrative"], character), timeout=0.2)
    assert len(journey_log.requests) == 1


# -- characters -----------------------------------------------------------------------------------

NEW = {"name": "Bren", "race": "Elf", "class": "Mage", "adventure_prompt": "A road."}


def creating(fields: dict[str, str] = NEW) -> Callable[[JourneyLogClient], Any]:
    return lambda client: client.create_character("local", fields, META)


def test_a_character_is_created(journey_log: FakeJourneyLog) -> None:
    made = calling(journey_log.url, creating())
    assert journey_log.character(made)["player_state"]["identity"]["name"] == "Bren"
    assert journey_log.requests[0].json() == NEW


def test_existing_character_is_reported_as_existing(journey_log: FakeJourneyLog) -> None:
    calling(journey_log.url, creating())
    with pytest.raises(CharacterExists):
        calling(journey_log.url, creating())


@pytest.mark.parametrize(
    ("fault", "error", "calls"),
    [
        (answers(422), ValidationError, 1),
        (answers(500), JourneyLogError, 1),
        (answers(503), JourneyLogError, 1),
        (proxy_error(502), JourneyLogError, 1),
        (drops(), JourneyLogError, 1),
        (resets(commit=True), JourneyLogError, 1),
        (hangs(), JourneyLogTimeout, 1),
    ],
)
def test_a_creation_that_fails_is_an_error_and_sent_once(
    journey_log: FakeJourneyLog, fault: Fault, error: type[DungeonMasterError], calls: int
) -> None:
    journey_log.fail("create", fault)
    with pytest.raises(error):
        calling(journey_log.url, creating(), timeout=0.2)
    assert len(journey_log.requests) == calls


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"character": 7}', b"<html>"])
def test_a_creation_whose_answer_cannot_be_read_is_an_error(body: bytes) -> None:
    with Canned(201, body) as server, pytest.raises(JourneyLogError):
        calling(server.url, creating())


def listing(client: JourneyLogClient) -> Awaitable[list[Json]]:
    return client.characters("local", META)


def test_the_list_holds_the_callers_characters_only(journey_log: FakeJourneyLog) -> None:
    mine = [journey_log.seed_character(name=name) for name in ("Arin", "Bren")]
    journey_log.seed_character(user="somebody")
    found = calling(journey_log.url, listing)
    assert {row["character_id"] for row in found} == set(mine)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"characters": 7}', b"<html>"])
def test_a_list_that_cannot_be_read_is_an_error(body: bytes) -> None:
    with Canned(200, body) as server, pytest.raises(JourneyLogError):
        calling(server.url, listing)


# -- health ---------------------------------------------------------------------------------------


def available(client: JourneyLogClient) -> Awaitable[bool]:
    return client.available()


def test_client_is_available_when_journey_log_is_healthy(
    journey_log: FakeJourneyLog, nowhere: str
) -> None:
    assert calling(journey_log.url, available)
    assert not calling(nowhere, available)
    with Canned(503, b"{}") as server:
        assert not calling(server.url, available)
