"""Nodes as real processes on one journal, and requests to any of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from fakes.server import Request
from processes import running
from remote import Remote, environment
from serving import Served

_MANY = {"MAX_STREAMS": "5000", "MAX_STREAMS_PER_CLIENT": "5000"}


@dataclass(frozen=True)
class Cluster:
    nodes: tuple[Served, ...]
    model: FakeModel
    journey_log: FakeJourneyLog
    schema: str

    def any(self, draw: random.Random) -> Served:
        return draw.choice(self.nodes)

    def other(self, node: Served, draw: random.Random) -> Served:
        return draw.choice([other for other in self.nodes if other is not node])

    def admitted(self, character: str) -> list[str]:
        """The actions of its turns, in the order in which the journal took them."""
        requests = f"SELECT request FROM {self.schema}.turns"
        rows = SERVERS.postgres.psql(
            f"{requests} WHERE character_id = '{character}' ORDER BY number"
        )
        return [json.loads(row)["user_action"] for row in rows.splitlines()]


@contextmanager
def cluster(directory: Path, count: int, **settings: str) -> Iterator[Cluster]:
    """So many nodes on a schema of their own. They start at the same time."""
    url = SERVERS.postgres.url()
    with ExitStack() as stack:
        model, journey_log = stack.enter_context(FakeModel()), FakeJourneyLog()
        stack.enter_context(journey_log)
        given = environment(model, journey_log, STORE_URL=url, **_MANY, **settings)
        processes = [stack.enter_context(running(directory, **given)) for _ in range(count)]
        nodes = tuple(Remote(process) for process in processes)
        yield Cluster(nodes, model, journey_log, url.rpartition("=")[2])


def action_of(request: Request) -> str:
    """The newest action in a prompt."""
    prompt = request.json()["messages"][-1]["content"]
    action = json.loads(prompt.rpartition("PLAYER ACTION\n")[2])
    assert isinstance(action, str)
    return action
