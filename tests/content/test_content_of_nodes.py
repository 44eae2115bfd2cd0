"""The cache of content, shared by nodes over a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app.bootstrap import forget_user

from asking import CHARACTER, TEXT, ask, scripted, stream
from databases import SERVERS, RedisServer
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from processes import running
from remote import Remote, environment
from serving import Served, aside

PATH, TIMEOUT = "/text/character", 300.0
ANSWER = {"content": TEXT}
CHAT = {"username": "ann", "message": "Who holds the bridge?"}
Nodes = tuple[Served, Served]


def of_nodes(redis: RedisServer) -> dict[str, Any]:
    url = SERVERS.postgres.emptied()
    return {"store_url": url, "redis_url": redis.url, "content_cache_shared": True}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """One that a test may stop."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def nodes(serve: Callable[..., Served], redis: RedisServer) -> Nodes:
    settings = of_nodes(redis)
    return serve(**settings), serve(**settings)


def test_a_stampede_over_two_nodes_makes_one_call_and_survives_redis(
    nodes: Nodes, model: FakeModel, redis: RedisServer
) -> None:
    gate = threading.Event()
    scripted(model, ANSWER, gate=gate, gate_after=0)
    whole = [aside(ask, nodes[number % 2], PATH, CHARACTER) for number in range(60)]
    streams = [aside(stream, nodes[number % 2], PATH, CHARACTER) for number in range(4)]
    others = [aside(ask, node, PATH, CHARACTER, X_User_Id="ben") for node in nodes]
    nodes[0].wait_for(lambda: model.calls)
    gate.set()
    replies = [one.result(TIMEOUT) for one in whole]
    streamed = [one.result(TIMEOUT) for one in streams]
    own = [one.result(TIMEOUT) for one in others]
    assert {reply.status for reply in (*replies, *streamed, *own)} == {200}
    assert {one.narrative for one in streamed} == {TEXT}
    assert {reply.json()["content"] for reply in (*replies, *own)} == {TEXT}
    assert len({reply.json()["content_id"] for reply in replies}) <= 2, "ben may have been first"
    assert len(model.calls) == 1

    content_id = ask(nodes[0], PATH, CHARACTER).json()["content_id"]
    assert ask(nodes[1], PATH, CHARACTER).header("x-cache") == "hit"
    assert nodes[1].call("DELETE", f"/api/v2/content/{content_id}").status == 204
    model.default = Script(text='{"content": "New."}')
    assert ask(nodes[0], PATH, CHARACTER).header("x-cache") == "miss"
    assert len(model.calls) == 2
    nodes[0].wait_for(lambda: nodes[0].metric("dungeon_master_content_cache_entries") == 1)
    _chat_is_cached_for_both(nodes, model)
    _what_is_erased_is_given_to_nobody(nodes, model)
    redis.stop()
    for node in nodes:
        assert node.call("GET", "/health").json()["components"]["cache"] != "ok"


def _chat_is_cached_for_both(nodes: Nodes, model: FakeModel) -> None:
    model.default = Script(text="The toll keeper.")
    for node, cached in zip(nodes, (False, True), strict=True):
        for path in ("/chat", "/context"):
            method = "POST" if path == "/chat" else "DELETE"
            reply = node.call(method, path, CHAT if path == "/chat" else None)
            assert reply.status == 200, reply.body
            assert reply.json().get("cached", cached) is cached


def _what_is_erased_is_given_to_nobody(nodes: Nodes, model: FakeModel) -> None:
    def copies() -> set[str]:
        """Of all that the user asks for while its answer is known."""
        asked = [ask(node, PATH, CHARACTER, X_User_Id="ben") for node in nodes]
        assert {reply.header("x-cache") for reply in asked} == {"hit"}
        return {reply.json()["content_id"] for reply in asked}

    def of_ben() -> list[str]:
        listed = nodes[1].call("GET", "/api/v2/content?limit=100", X_User_Id="ben").json()
        return [one["content_id"] for one in listed["contents"]]

    (copy,) = copies()
    assert of_ben().count(copy) == 1
    forget_user(nodes[0].settings, "ben")
    assert copies() == {*of_ben()} != {copy}
    forget_user(nodes[0].settings, "local")
    model.default = Script(text='{"content": "Newer."}')
    assert ask(nodes[0], PATH, CHARACTER, X_User_Id="ben").header("x-cache") == "miss"


def test_without_redis_content_is_made_without_a_cache(
    serve: Callable[..., Served], model: FakeModel, redis: RedisServer
) -> None:
    service = serve(**of_nodes(redis), limits_fail_open=True, limit_text_per_minute=0)
    model.default = Script(text='{"content": "New."}')
    redis.stop()
    for _ in range(2):
        reply = ask(service, PATH, CHARACTER)
        assert (reply.status, reply.header("x-cache")) == (200, "miss")
    assert len(model.calls) == 2
    redis.start()
    service.wait_for(lambda: ask(service, PATH, CHARACTER).header("x-cache") == "hit")


def test_request_that_waits_for_a_dead_node_is_answered_by_another(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    redis: RedisServer,
    tmp_path: Path,
) -> None:
    settings = of_nodes(redis)
    service = serve(**settings)
    scripted(model, ANSWER, gate=threading.Event(), gate_after=0)
    scripted(model, ANSWER)
    given = {name.upper(): str(value) for name, value in settings.items()}
    with running(tmp_path, **environment(model, journey_log, **given)) as process:
        aside(ask, Remote(process), PATH, CHARACTER)
        service.wait_for(lambda: model.calls)
        waiting = aside(ask, service, PATH, CHARACTER)
        service.wait_for(lambda: service.requests_under_way)
        process.kill()
    reply = waiting.result(TIMEOUT)
    assert (reply.status, reply.json()["content"]) == (200, TEXT)
    assert len(model.calls) == 2
    assert ask(service, PATH, CHARACTER).header("x-cache") == "hit"
