"""Several nodes on one PostgreSQL, disturbed while players play on all of them.

`python tests/chaos/chaos_nodes.py` (part of `make chaos`) runs everything in full and prints the figures.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.adapters.store.postgres.connecting import Unusable
from chaos_faults import Fault
from chaos_players import Over, Where
from chaos_run import (
    PATIENCE,
    ROUGH,
    Result,
    World,
    open_turns,
    show,
    two_owners,
    wait_until,
    world,
)
from chaos_worker import Life, Worker

from databases import PostgresServer, RedisServer
from wires import Wire

PAUSES = (0.2, 1.0)  # seconds between two disturbances
STOPPED = (0.5, 3.0)
AWAY = 0.3  # seconds that a server stays away
LOCKS = "application_name = 'dungeon-master lock'"


class Everywhere(Where):
    """The ports of all nodes that are up: a player goes to any of them."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._ports: list[int] = []
        self._draw = random.Random(seed)

    def open(self, port: int) -> None:
        with self._changed:
            self._ports.append(port)
            self._changed.notify_all()

    def shut(self, port: int) -> None:
        with self._changed:
            self._ports = [one for one in self._ports if one != port]

    def port(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._ports, PATIENCE)
            if self._over or not self._ports:
                raise Over
            return self._draw.choice(self._ports)


@dataclass
class Cluster:
    """Nodes, what they stand on, and what can be done to them."""

    made: World
    where: Everywhere
    postgres: PostgresServer
    redis: RedisServer | None
    draw: random.Random
    life: Life
    nodes: list[Worker]
    wires: dict[int, Wire]

    def start(self) -> None:
        """One more node, whose way to the database can be cut."""
        wire = Wire(self.postgres.port)
        url = self.life.url.replace(f":{self.postgres.port}/", f":{wire.port}/")
        node = Worker(replace(self.life, url=url))
        self.nodes.append(node)
        self.wires[node.port] = wire
        self.where.open(node.port)

    def any(self) -> Worker:
        return self.draw.choice(self.nodes)

    def bury(self, node: Worker) -> None:
        self.where.shut(node.port)
        node.end(signal.SIGKILL)
        self.wires.pop(node.port).close()
        self.nodes.remove(node)

    # -- disturbances ---------------------------------------------------------------------------

    def kill_node(self) -> None:
        self.bury(self.any())
        self.start()

    def stop_node(self) -> None:
        node = self.any()
        node.send(signal.SIGSTOP)
        time.sleep(self.draw.uniform(*STOPPED))
        node.send(signal.SIGCONT)

    def stop_node_and_free_its_turns(self) -> None:
        """Others take its turns while it stands still, and it wakes up in the middle of them."""
        node = self.any()
        node.send(signal.SIGSTOP)
        self.end_locks()
        time.sleep(self.draw.uniform(*STOPPED))
        node.send(signal.SIGCONT)

    def end_locks(self) -> None:
        self.postgres.when_ready(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LOCKS}"
        )

    def kill_backend(self) -> None:
        self.postgres.kill_backend()

    def restart_fast(self) -> None:
        self._restart("fast")

    def restart_immediate(self) -> None:
        self._restart("immediate")

    def _restart(self, mode: str) -> None:
        # PostgreSQL 15 may never end when it is stopped fast at the beginning of a recovery.
        wait_until(self.postgres.is_ready, "PostgreSQL takes connections")
        self.postgres.stop(mode)
        time.sleep(AWAY)
        self.postgres.start()

    def cut_the_network(self) -> None:
        wire = self.wires[self.any().port]
        wire.cut.set()
        time.sleep(self.draw.uniform(*STOPPED))
        wire.cut.clear()

    def restart_redis(self) -> None:
        assert self.redis is not None
        self.redis.stop()
        time.sleep(AWAY)
        self.redis.start()


DISTURBANCES: tuple[Callable[[Cluster], None], ...] = (
    Cluster.kill_node,
    Cluster.stop_node,
    Cluster.stop_node_and_free_its_turns,
    Cluster.end_locks,
    Cluster.kill_backend,
    Cluster.restart_fast,
    Cluster.restart_immediate,
    Cluster.cut_the_network,
)


def on_nodes(
    directory: Path,
    postgres: PostgresServer,
    *,
    turns: int,
    nodes: int = 2,
    players: int = 12,
    seed: int = 1,
    trouble: float = 0.05,
    redis: RedisServer | None = None,
    disturbances: Sequence[Callable[[Cluster], None]] = DISTURBANCES,
    rounds: int | None = None,
    pauses: tuple[float, float] = PAUSES,
) -> Result:
    """Play `turns` turns on all nodes while one disturbance follows the other, at most `rounds`, with
    `pauses` of some seconds."""
    began, kills = time.monotonic(), Counter[str]()
    with world(directory, seed, trouble) as made:
        made.where = where = Everywhere(seed)
        made.store_url = postgres.url()
        life = made.life()
        if redis is not None:
            life = replace(life, settings=(*life.settings, ("redis_url", redis.url)))
        cluster = Cluster(made, where, postgres, redis, random.Random(seed), life, [], {})
        try:
            for _ in range(nodes):
                cluster.start()
            made.populate(players, turns, ROUGH)
            _disturb(cluster, disturbances, kills, rounds, pauses)
            result = _finished(cluster)
        finally:
            where.give_up()
            for node in list(cluster.nodes):
                cluster.bury(node)
    result.kills, result.seconds = kills, time.monotonic() - began
    return result


def _disturb(
    cluster: Cluster,
    disturbances: Sequence[Callable[[Cluster], None]],
    kills: Counter[str],
    rounds: int | None,
    pauses: tuple[float, float],
) -> None:
    idle = threading.Event()
    while cluster.made.playing and (rounds is None or sum(kills.values()) < rounds):
        idle.wait(cluster.draw.uniform(*pauses))
        disturb = disturbances[sum(kills.values()) % len(disturbances)]
        disturb(cluster)
        kills[disturb.__name__] += 1
        for node in [node for node in cluster.nodes if node.dead_within(0)]:
            kills["ended by itself"] += 1
            cluster.bury(node)
            cluster.start()


def _finished(cluster: Cluster) -> Result:
    made, life = cluster.made, cluster.life
    wait_until(lambda: not made.playing, "every player is done", 2 * PATIENCE)
    wait_until(lambda: _all_done(life.store), "every turn is done")
    cluster.where.give_up()
    return made.result(life)


def _all_done(store: Path | str) -> bool:
    """False while the server recovers."""
    with suppress(Unusable):
        return not open_turns(store)
    return False


def stopped_and_replaced(
    directory: Path, kind: str, postgres: PostgresServer, broken: Fault = "none"
) -> Result:
    """See `two_owners`: the database has ended the lock session of the node that stands still; with leases,
    it is enough that it stands still."""

    def free() -> None:
        if broken != "leases":
            postgres.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LOCKS}")

    return two_owners(directory, kind, broken=broken, url=postgres.url(), stopped=free)


CONTROLS: tuple[tuple[Fault, str], ...] = (
    ("no fence", "combat"),
    ("no settling", "narrative"),
    ("leases", "combat"),
)
"""What is left out, and the kind of the writes in whose middle the first node stands still."""


# -- how long a takeover takes -----------------------------------------------------------------------


def killed(cluster: Cluster, node: Worker) -> None:
    node.send(signal.SIGKILL)


def cut_off(cluster: Cluster, node: Worker) -> None:
    """It goes on, and nothing passes between it and the database."""
    cluster.wires[node.port].cut.set()


def takeovers(
    directory: Path,
    postgres: PostgresServer,
    rounds: int,
    end: Callable[[Cluster, Worker], None] = killed,
) -> list[float]:
    """Seconds from the `end` of a node until another one has its turns, one time a round."""
    found = []
    with world(directory, 1, 0.0) as made:
        made.store_url = postgres.url()
        schema = made.store_url.rpartition("=")[2]
        made.where = where = Everywhere(1)
        cluster = Cluster(made, where, postgres, None, random.Random(1), made.life(), [], {})
        try:
            cluster.start()
            made.populate(4, 1_000_000)
            for _ in range(rounds):
                cluster.start()
                found.append(_takeover(cluster, schema, end))
        finally:
            where.give_up()
            for node in list(cluster.nodes):
                cluster.bury(node)
    return sorted(found)


def _takeover(cluster: Cluster, schema: str, end: Callable[[Cluster, Worker], None]) -> float:
    owner = f"SELECT owner FROM {schema}.nodes ORDER BY started_at LIMIT 1"
    first = cluster.postgres.psql(owner)
    left = f"SELECT count(*) FROM {schema}.turns WHERE owner = '{first}' AND phase <> 'done'"
    wait_until(lambda: cluster.postgres.psql(left) != "0", "the node has turns")
    node = cluster.nodes[0]
    cluster.where.shut(node.port)
    end(cluster, node)
    began = time.monotonic()
    wait_until(lambda: cluster.postgres.psql(left) == "0", "its turns are taken over")
    taken = time.monotonic() - began
    cluster.bury(node)
    return taken


# -- everything --------------------------------------------------------------------------------------


def main() -> int:
    fine = True
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        postgres, redis = PostgresServer(safe=True), RedisServer()
        try:
            for name, nodes, extra in (("two", 2, None), ("three", 3, None), ("redis", 2, redis)):
                more = (Cluster.restart_redis,) if extra else ()
                result = on_nodes(
                    root / name,
                    postgres,
                    turns=800,
                    nodes=nodes,
                    seed=nodes,
                    redis=extra,
                    disturbances=(*DISTURBANCES, *more),
                )
                fine &= show(f"nodes, {name}", result, good=True)
                print(f"    {dict(result.kills)}")
            for kind in ("quest", "combat", "poi", "narrative"):
                fine &= show(
                    f"stopped in {kind}",
                    stopped_and_replaced(root / kind, kind, postgres),
                    good=True,
                )
            for broken, kind in CONTROLS:
                lame = stopped_and_replaced(root / broken, kind, postgres, broken)
                fine &= show(f"control, {broken}", lame, good=False)
            for end, rounds in ((killed, 15), (cut_off, 5)):
                times = takeovers(root / end.__name__, postgres, rounds, end)
                print(f"takeover of a node {end.__name__}: median", end=" ")
                print(f"{times[len(times) // 2]:.2f} s, worst {times[-1]:.2f} s of {rounds}")
        finally:
            postgres.close()
            redis.close()
    print("everything is as it should be" if fine else "SOMETHING IS WRONG")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
