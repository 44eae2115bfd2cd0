"""What a turn and a token may cost, counted and not timed: these numbers are the same on any machine.

Who makes one larger must have a reason; who makes one smaller lowers the bound.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

import httpx2
import pytest
from app.adapters.event_log.memory import MemoryTurnLog
from app.adapters.openai.responses import ResponsesParser
from app.adapters.openai.sse import SSEDecoder
from app.core.context import CharacterProgress
from app.core.events import Entry
from app.core.messages import Message, Prompt
from app.eventlog.reader import Cursor
from app.eventlog.writer import LogWriter
from app.generation.fair_limiter import FairLimiter
from app.generation.request import Generation, GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.http1.connection import Connection
from app.ports.clock import Clock
from app.ports.model import ModelEnd, ModelRequest, OnDelta
from app.ports.store import Claim, TurnRequest
from app.turns.narration import Narration
from app.turns.observe import Observation
from app.turns.service import TurnService
from app.turns.state import TurnState
from app.web.dialects.dialect import Rendering
from app.web.dialects.native import NATIVE
from app.web.transports.sse import SSEFramer

from fakes.journey_log import FakeJourneyLog
from fakes.model import COMBAT_START, POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome_text
from fakes.transport import Silent
from loops import in_virtual_time
from serving import Served, turn_body

EVERYTHING = Script(text=outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE))
ALWAYS = {"quest_trigger_prob": 1, "poi_trigger_prob": 1, "rng_seed": "x"}


# -- per turn -------------------------------------------------------------------------------------


@contextmanager
def statements(service: Served) -> Iterator[Counter[str]]:
    """Counts the SQL statements of the store by their first word."""
    db: sqlite3.Connection = service.application.services.get(TurnService)._store._engine._write_db  # type: ignore[attr-defined]
    counted: Counter[str] = Counter()
    db.set_trace_callback(lambda sql: counted.update([sql.split(maxsplit=1)[0].upper()]))
    yield counted
    db.set_trace_callback(None)


def test_a_turn_with_four_writes_is_six_transactions(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = serve(**ALWAYS)
    model.then(EVERYTHING, EVERYTHING)
    service.turn(journey_log.seed_character())
    with statements(service) as counted:
        assert service.turn(journey_log.seed_character()).last["type"] == "complete"
    changes = counted["INSERT"] + counted["UPDATE"] + counted["SELECT"]
    assert counted["COMMIT"] == counted["BEGIN"] == 6
    assert changes <= 30
    assert counted["SAVEPOINT"] == counted["RELEASE"] == 6


def test_a_turn_asks_journey_log_once_and_then_writes(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service, character = serve(**ALWAYS), journey_log.seed_character()
    model.then(EVERYTHING)
    service.turn(character)
    assert [request.method for request in journey_log.requests] == [
        "GET",
        "PUT",
        "PUT",
        "POST",
        "POST",
    ]
    assert len(model.calls) == 1


def test_one_read_becomes_one_write(service: Served, model: FakeModel, character: str) -> None:
    """A hundred deltas in one packet are one event in one chunk."""
    words = "word " * 200
    model.then(Script(text=outcome_text(words), per_write=10_000))
    with service.open("POST", "/turn/stream", turn_body(character), Connection="close") as response:
        raw = response.fp.read()
    chunks = re.findall(rb"^[0-9a-f]+\r$", raw, re.MULTILINE)
    assert b'"type":"complete"' in raw
    assert raw.count(b'"type":"token"') <= 3
    assert len(chunks) <= 12


# -- per token ------------------------------------------------------------------------------------


PROMPT = Prompt((Message("system", "i"), Message("user", "p")))


class WordModel:
    """A model that streams so many words, one in each read."""

    name, api = "m", "chat"

    def __init__(self, words: int) -> None:
        self.words = words

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        on_delta(['{"narrative": "'])
        for _ in range(self.words):
            on_delta(["word "])
        on_delta(['", "intents": {}}'])
        return ModelEnd(None, "m")


def narrating(
    words: int, seen: list[Observation]
) -> tuple[Callable[[], Coroutine[Any, Any, Generation]], MemoryTurnLog]:
    log = MemoryTurnLog()
    request = TurnRequest("c", "go", "local", "request-1")
    turn = TurnState(
        Claim("t", 1), request, CharacterProgress(), LogWriter("t", log, Clock()), Clock()
    )
    model: Any = WordModel(words)
    service = GenerationService(
        [model], FairLimiter(1, 1.0), GenerationLimits(), observe=seen.append
    )
    request_ = GenerationRequest(PROMPT, Purpose.TURN, "local", turn.meta)
    narration = Narration(turn, 1_000_000, seen.append)
    return lambda: service.generate(request_, narration), log


def calls_during(work: Callable[[], None]) -> int:
    """How many Python functions are called, generators resumed included."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


class Idle:
    """A reader that looks at nothing."""

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        pass

    def on_failure(self) -> None:
        pass


def narrate(words: int) -> None:
    seen: list[Observation] = []
    generate, log = narrating(words, seen)
    log.watch(Idle())
    asyncio.run(generate())
    assert sum(kind == "token" for _, kind, _ in log.entries()) == words


def test_token_costs_a_few_calls() -> None:
    few, many = (calls_during(lambda words=words: narrate(words)) for words in (100, 1_100))  # type: ignore[misc]
    assert (many - few) / 1_000 <= 12


def test_a_token_costs_the_same_in_a_long_story() -> None:
    calls = [calls_during(lambda words=words: narrate(words)) for words in (1_000, 2_000, 4_000)]  # type: ignore[misc]
    assert calls[2] - calls[1] <= 2.02 * (calls[1] - calls[0])


def test_no_task_is_made_for_a_token() -> None:
    def tasks(words: int) -> int:
        made = 0

        async def counted() -> None:
            nonlocal made
            loop = asyncio.get_running_loop()

            def make(loop: Any, work: Any, **options: Any) -> asyncio.Task[Any]:
                nonlocal made
                made += 1
                return asyncio.Task(work, loop=loop, **options)

            loop.set_task_factory(make)
            generate, _ = narrating(words, [])
            await generate()

        asyncio.run(counted())
        return made

    assert tasks(10) == tasks(1_000) <= 3  # the reading one, and two of the loop's own end


def test_observers_hear_of_tokens_by_the_hundred() -> None:
    seen: list[Observation] = []
    generate, _ = narrating(1_000, seen)
    asyncio.run(generate())
    assert len(seen) <= 7


def test_an_upstream_read_is_decoded_in_a_few_calls() -> None:
    event = {"type": "response.output_text.delta", "output_index": 0, "delta": "word "}
    read = b"event: response.output_text.delta\ndata: " + json.dumps(event).encode() + b"\n\n"
    fold, decoder = ResponsesParser("m"), SSEDecoder()
    assert fold.feed(decoder.feed(read)) == ["word "]

    def work() -> None:
        fold.feed(decoder.feed(read))

    assert calls_during(work) <= 6


@pytest.mark.parametrize("pieces", [1, 500])
def test_a_read_from_the_network_wakes_its_reader_once(pieces: int) -> None:
    """However many HTTP chunks it holds; and what they held is one piece."""

    async def work() -> tuple[int, bytes]:
        errors: Any = httpx2
        connection, transport = Connection(errors), cast(Any, Silent())
        connection.connection_made(transport)
        connection.send(b"")
        connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        reader = asyncio.create_task(connection.read(5))
        await asyncio.sleep(0)
        connection.data_received(b"1\r\nx\r\n" * pieces)
        rounds = 0
        while not reader.done():
            await asyncio.sleep(0)
            rounds += 1
        return rounds, reader.result()

    rounds, piece = asyncio.run(work())
    assert piece == b"x" * pieces
    assert rounds <= 2


# -- per reader -----------------------------------------------------------------------------------


def entry(seq: int) -> Entry:
    return seq, "token", b"%d" % seq


def framer(write: Callable[[bytes], bool]) -> SSEFramer:
    return SSEFramer(Rendering(NATIVE, "t"), write)


def test_an_entry_goes_to_a_waiting_reader_in_the_call_that_appends_it() -> None:
    async def work() -> None:
        log, written = MemoryTurnLog([entry(1)]), []
        cursor = Cursor(log)
        assert cursor.take() == [entry(1)]

        def write(piece: bytes) -> bool:
            written.append(piece)
            return len(written) != 2

        cursor.write_through = framer(write).write_through
        batch = asyncio.ensure_future(anext(cursor))
        await asyncio.sleep(0)
        log.append([entry(2)])
        assert written == [b"id: t:2\ndata: 2\n\n"]
        assert not batch.done()
        log.append([entry(3)])  # not taken: the iteration has it
        assert await batch == [entry(3)]
        log.append([entry(4)])  # nobody waits: it stays where it is
        assert written == [b"id: t:2\ndata: 2\n\n", b"id: t:3\ndata: 3\n\n"]
        assert await anext(cursor) == [entry(4)]
        batch = asyncio.ensure_future(anext(cursor))
        await asyncio.sleep(0)
        log.append([entry(5)], last=True)  # the end goes through the iteration
        assert await batch == [entry(5)]
        assert cursor.complete
        cursor.close()

    asyncio.run(work())


def test_a_token_reaches_a_waiting_reader_in_a_few_calls() -> None:
    async def work() -> int:
        log = MemoryTurnLog()
        cursor = Cursor(log)
        cursor.write_through = framer(len).write_through  # type: ignore[arg-type]
        batch = asyncio.ensure_future(anext(cursor))
        await asyncio.sleep(0)
        calls = calls_during(lambda: log.append([entry(1)]))
        batch.cancel()
        cursor.close()
        return calls

    assert asyncio.run(work()) <= 6


@in_virtual_time
async def test_entries_that_are_written_through_put_off_the_heartbeat() -> None:
    log = MemoryTurnLog()
    cursor = Cursor(log, heartbeat=0.05)
    cursor.write_through = lambda entries: True
    batch = asyncio.ensure_future(anext(cursor))
    await asyncio.sleep(0)
    for seq in range(1, 25):
        log.append([entry(seq)])
        await asyncio.sleep(0.005)
        assert not batch.done()
    assert [kind for _, kind, _ in await batch] == ["ping"]
    cursor.close()
