"""What has to hold on several nodes whatever clients do, on real processes."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import as_completed
from itertools import islice
from pathlib import Path

import pytest
from clusters import Cluster, action_of, cluster
from histories import QUEUE_LIMIT, is_linearizable

from databases import SERVERS
from fakes.journey_log import Write
from fakes.model import Script, outcome_text
from fakes.server import Request
from recorded import Recording
from serving import RETRY, TIMEOUT, Served, aside, frame_event, read_frames, seq_of, turn_body

NARRATIVE = "The bell under the water tolls nine times, and something answers it. " * 2
TEXT = outcome_text(NARRATIVE)
HELD_AT = 14  # deltas of four characters
FIRST_PART = 4 * HELD_AT - TEXT.index(
    NARRATIVE
)  # characters that can be read while the model waits
TURNS, READERS = 25, 8
POSTS = 250

# -- readers who go from node to node --------------------------------------------------------------


@pytest.fixture(params=["postgres", "redis"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Three that publish on PostgreSQL, or two that do so on Redis."""
    on_redis = request.param == "redis"
    settings = {"REDIS_URL": SERVERS.redis.url} if on_redis else {}
    with cluster(tmp_path, 2 if on_redis else 3, **settings) as made:
        yield made


class Reader:
    """Reads a turn, and leaves for another node at random events."""

    def __init__(self, made: Cluster, turn_id: str, number: int, everybody: threading.Barrier):
        self._made = made
        self._turn = turn_id
        self._draw = random.Random(number)
        self._node = made.any(self._draw)
        self._everybody = everybody
        self._read = 0  # characters
        self.frames: list[bytes] = []
        self.over = False

    def read(self) -> list[bytes]:
        while self._read < FIRST_PART:
            self._hop(self._draw.randint(1, 9), FIRST_PART)
        self._everybody.wait()
        while not self.over:
            self._hop(self._draw.randint(1, 12), len(TEXT))
        return self.frames

    def _hop(self, events: int, characters: int) -> None:
        """To another node, and read so many events there, but not beyond so many characters."""
        self._node = self._made.other(self._node, self._draw)
        path, cursor = f"/turns/{self._turn}/events", f"{self._turn}:{len(self.frames)}"
        until = len(self.frames) + events
        with self._node.open("GET", path, Last_Event_ID=cursor) as response:
            assert response.status == 200
            blocks = read_frames(response)
            while len(self.frames) < until and self._read < characters and not self.over:
                self._take(next(blocks).removeprefix(RETRY))

    def _take(self, block: bytes) -> None:
        if block.startswith(b"id: "):
            self.frames.append(block)
            event = frame_event(block)
            self._read += len(event.get("content", ""))
            self.over = event["type"] == "complete"


def test_readers_that_go_from_node_to_node_miss_nothing(nodes: Cluster) -> None:
    made, draw, gate = nodes, random.Random(1), threading.Event()
    made.model.default = Script(TEXT, gate=gate, gate_after=HELD_AT, pace=0.001)
    everybody = threading.Barrier(TURNS * READERS, gate.set, TIMEOUT)
    turns = [_started(made, made.any(draw), number) for number in range(TURNS)]
    readers = [
        aside(Reader(made, turn_id, number, everybody).read)
        for number, turn_id in enumerate(turns * READERS)
    ]
    read = [done.result(TIMEOUT) for done in readers]
    for number, turn_id in enumerate(turns):
        whole = made.any(draw).stream("GET", f"/turns/{turn_id}/events").frames
        assert [frames == whole for frames in read[number::TURNS]] == [True] * READERS
        assert [seq_of(frame) for frame in whole] == list(range(1, len(whole) + 1))


def _started(made: Cluster, node: Served, number: int) -> str:
    body = turn_body(made.journey_log.seed_character(), f"turn {number}")
    with node.open("POST", "/turn/stream", body) as response:
        return str(response.headers["X-Turn-Id"])


# -- a hot character -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("nodes"), 2, TURN_CONFLICT="queue") as made:
        yield made


def test_hot_character_has_one_turn_at_a_time_in_the_order_of_admission(
    two_nodes: Cluster,
) -> None:
    made, gate = two_nodes, threading.Event()
    character = made.journey_log.seed_character()
    made.model.default = Script(gate=gate)
    crowd = [
        aside(_post, made.nodes[n % 2], turn_body(character, f"turn {n}")) for n in range(POSTS)
    ]
    refused = [d.result() for d in islice(as_completed(crowd, TIMEOUT), POSTS - QUEUE_LIMIT - 1)]
    assert Counter(refused).keys() <= {409, 429}
    gate.set()
    statuses = Counter(done.result(TIMEOUT) for done in crowd)
    assert statuses[200] == QUEUE_LIMIT + 1
    later = [
        aside(_post, made.nodes[n % 2], turn_body(character, f"later {n}")) for n in range(POSTS)
    ]
    statuses += Counter(done.result(TIMEOUT) for done in later)
    assert statuses.keys() <= {200, 409, 429}
    order = made.admitted(character)
    assert len(order) == statuses[200] > QUEUE_LIMIT + 1
    assert [action_of(r) for r in made.model.requests if r.method == "POST"] == order
    assert [(write.body or {}).get("user_action") for write in _narratives(made)] == order
    upstream = [_kind(request) for request in made.journey_log.requests]
    assert [kind for kind in upstream if kind] == ["context", "narrative"] * len(order)


def _post(node: Served, body: dict[str, object]) -> int:
    return node.call("POST", "/turn", body).status


def _narratives(made: Cluster) -> list[Write]:
    return [write for write in made.journey_log.writes if write.kind == "narrative"]


def _kind(request: Request) -> str:
    last = request.path.rpartition("/")[2]
    return last if last in ("context", "narrative") else ""


# -- histories ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_answers_of_two_nodes_could_come_from_one(two_nodes: Cluster, seed: int) -> None:
    two_nodes.model.default = Script(TEXT, pace=0.001)
    recording = Recording(two_nodes, seed, clients=6, requests=8)
    assert is_linearizable(recording.run())
