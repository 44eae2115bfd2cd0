"""Limits hold over all nodes together, exactly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from passes import SECRET, bearer, token
from serving import TIMEOUT, Served, aside, turn_body

CLIENTS, POSTS = 50, 3
USER_LIMIT, GLOBAL_LIMIT = 24, 40
WINDOW_SECONDS = 60


@pytest.mark.parametrize("on_redis", [False, True])
def test_limits_are_exact_over_two_nodes(
    serve: Callable[..., Served], journey_log: FakeJourneyLog, on_redis: bool
) -> None:
    settings = {
        "store_url": SERVERS.postgres.emptied(),
        "redis_url": SERVERS.redis.url if on_redis else None,
        "auth_mode": "jwt",
        "jwt_secret": SECRET,
        "limit_user_per_minute": USER_LIMIT,
        "limit_global_per_minute": GLOBAL_LIMIT,
    }
    nodes = [serve(**settings) for _ in range(2)]
    passes = {user: bearer(token(sub=user)) for user in ("anna", "bela")}

    def client(number: int, user: str) -> list[tuple[str, int]]:
        """The same characters are never asked for twice: only limits refuse."""
        answers = []
        for post in range(POSTS):
            body = turn_body(journey_log.seed_character(user), dry_run=True)
            node = nodes[(number + post) % 2]
            answers.append((user, node.call("POST", "/turn", body, **passes[user]).status))
        return answers

    began = time.monotonic()
    crowd = [aside(client, number, ("anna", "bela")[number % 2]) for number in range(CLIENTS)]
    found = Counter(answer for one in crowd for answer in one.result(TIMEOUT))
    windows = (
        1 + (time.monotonic() - began) // WINDOW_SECONDS
    )  # one, unless the machine is very slow
    assert {status for _, status in found} == {200, 429}
    anna, bela = found["anna", 200], found["bela", 200]
    assert max(anna, bela) <= USER_LIMIT * windows
    assert GLOBAL_LIMIT <= anna + bela <= GLOBAL_LIMIT * windows
