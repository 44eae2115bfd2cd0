"""Turns, streams and sockets leave nothing to the garbage collector, for which all streams wait."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from asking import CHARACTER, TEXT, ask, scripted
from fakes.journey_log import FakeJourneyLog
from fakes.model import COMBAT_START, POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome_text
from serving import Served, turn_body
from tabling import Guest, hear_until, party, script_of

EVERYTHING = Script(text=outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE))
ALWAYS = {"quest_trigger_prob": 1, "poi_trigger_prob": 1, "rng_seed": "x"}
OURS = ("app.", "uvicorn.", "httptools.", "starlette.", "httpx", "uvloop.", "websockets.server")


@contextmanager
def garbage(service: Served) -> Iterator[Counter[str]]:
    """What only the collector could free, of ours and of the libraries that serve a turn."""
    found: Counter[str] = Counter()
    service.wait_for(lambda: is_quiet(service))
    gc.collect()
    gc.disable()
    try:
        yield found
        service.wait_for(lambda: is_quiet(service))
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = Counter(
            f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.garbage
        )
        found.update({kind: count for kind, count in kinds.items() if kind.startswith(OURS)})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def is_quiet(service: Served) -> bool:
    return not service.open_connections and not service.requests_under_way


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        (EVERYTHING, "complete"),
        (Script(refusal="I will not."), "error"),
        (Script(status=400), "error"),
        (Script(drop_after=20), "error"),
        (Script(text="no story"), "error"),
        (Script(text=outcome_text("x" * 60_000), per_write=100), "error"),
    ],
    ids=["complete", "refused", "bad request", "broken off", "invalid", "too long"],
)
def test_a_turn_leaves_nothing(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    script: Script,
    ending: str,
) -> None:
    service = serve(**ALWAYS, llm_max_retries=0)
    model.default = script
    service.turn(journey_log.seed_character())
    with garbage(service) as found:
        for _ in range(5):
            assert service.turn(journey_log.seed_character()).last["type"] == ending
        service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 0)
    assert found == {}


# -- whatever else is served -------------------------------------------------------------------------


class Session:
    """A table with two players, and a character for what is no table's."""

    def __init__(self, service: Served, model: FakeModel, character: str) -> None:
        self.service = service
        self.model = model
        self.character = character
        self.table, self.guests = party(service, "olga", "mara")

    @property
    def owner(self) -> Guest:
        return self.guests[0]


def everybody_reads_a_turn(session: Session) -> None:
    table = session.table
    with ExitStack() as stack:
        streams = [stack.enter_context(one.follows(table)) for one in session.guests]
        sockets = [stack.enter_context(one.socket(f"/ws/{table}")) for one in session.guests]
        for stream in streams:
            stream.until("metadata", phase="live")
        for socket in sockets:
            hear_until(socket, "system")
        assert session.owner.acts(table).status == 200
        for stream in streams:
            stream.until("complete")
        for socket in sockets:
            hear_until(socket, "stream_end")


def sockets_come_and_go(session: Session) -> None:
    for one in session.guests:
        with one.socket(f"/ws/{session.table}") as socket:
            hear_until(socket, "system")


def a_campaign_socket_comes_and_goes(session: Session) -> None:
    path = f"/ws/campaign/player?session_id={session.table}"
    with session.owner.socket(path) as socket:
        socket.send(json.dumps({"type": "auth", "token": "none"}))
        hear_until(socket, "campaign_active")


def a_stranger_knocks(session: Session) -> None:
    stranger = Guest(session.service, "stranger")
    with pytest.raises(InvalidStatus), stranger.socket(f"/ws/{session.table + 1}"):
        pass


def a_table_is_followed_for_a_while(session: Session) -> None:
    with session.owner.follows(session.table) as stream:
        stream.until("metadata", phase="live")


def a_question_is_asked(session: Session) -> None:
    assert session.owner.asks(session.table).status == 200


def a_turn_over_its_own_socket(session: Session) -> None:
    with session.service.socket() as socket:
        socket.send(json.dumps(turn_body(session.character)))
        hear_until(socket, "complete")


def a_reader_leaves_in_mid_turn(session: Session) -> None:
    with session.service.live(session.character) as live:
        live.until("token")
        turn_id = live.turn_id
    assert session.service.stream("GET", f"/turns/{turn_id}/events").last["type"] == "complete"


def a_turn_is_waited_for(session: Session) -> None:
    assert session.service.call("POST", "/turn", turn_body(session.character)).status == 200


def a_turn_is_read_again_in_every_dialect(session: Session) -> None:
    turn_id = session.service.turn(session.character).turn_id
    for dialect in ("native", "ag-ui", "ai-sdk", "openai"):
        path = f"/turns/{turn_id}/events?dialect={dialect}"
        assert session.service.stream("GET", path).status == 200


def an_ag_ui_run(session: Session) -> None:
    message = {"id": "m", "role": "user", "content": "I knock."}
    body = {"threadId": "t", "runId": "r", "messages": [message]}
    assert session.service.stream("POST", f"/ag-ui/{session.character}", body).status == 200


def a_chat_completion(session: Session) -> None:
    model = f"dungeon-master/{session.character}"
    message = {"role": "user", "content": "I knock."}
    body = {"model": model, "stream": True, "messages": [message]}
    assert session.service.stream("POST", "/v1/chat/completions", body).status == 200


def words_are_exchanged(session: Session) -> None:
    body = {"username": "ann", "message": "Left or right?"}
    for headers in {}, {"Accept": "text/event-stream"}:
        assert session.service.stream("POST", "/chat", body, **headers).status == 200


def content_is_written(session: Session) -> None:
    for headers in {}, {"Accept": "text/event-stream"}:
        scripted(session.model, {"content": TEXT})
        assert ask(session.service, "/text/character", CHARACTER, **headers).status == 200


@pytest.mark.parametrize(
    "doing",
    [
        everybody_reads_a_turn,
        sockets_come_and_go,
        a_campaign_socket_comes_and_goes,
        a_stranger_knocks,
        a_table_is_followed_for_a_while,
        a_question_is_asked,
        a_turn_over_its_own_socket,
        a_reader_leaves_in_mid_turn,
        a_turn_is_waited_for,
        a_turn_is_read_again_in_every_dialect,
        an_ag_ui_run,
        a_chat_completion,
        words_are_exchanged,
        content_is_written,
    ],
)
def test_whatever_is_served_leaves_nothing(
    service: Served, model: FakeModel, character: str, doing: Callable[[Session], Any]
) -> None:
    model.default = script_of()
    session = Session(service, model, character)
    doing(session)
    with garbage(service) as found:
        for _ in range(3):
            doing(session)
    assert found == {}
