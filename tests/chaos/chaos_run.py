"""Lives and deaths of the service under load, and what is left when it is over.

`python tests/chaos/chaos_run.py` (or `make chaos`) runs everything in full and prints the figures.
"""

from __future__ import annotations

import math
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.preparing import at_the_start
from chaos_audit import Audit, audit
from chaos_faults import Fault
from chaos_players import Budget, Manners, Player, Where
from chaos_target import WRITE_KINDS, ChaoticJourneyLog, writing_model
from chaos_worker import INSIDE_POINTS, POINTS, SETTLE, Life, Worker

from fakes.journey_log import late

PATIENCE = 300.0
RARE = ("resend", "note")  # points that only trouble leads to


def wait_until(so: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < until, f"not so after {seconds} s: {what}"
        time.sleep(0.01)


def open_turns(store: Path | str) -> int:
    if isinstance(store, str):
        count = "SELECT count(*) FROM turns WHERE phase <> 'done'"
        return int(at_the_start(Database(store), count)[0][0])
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT COUNT(*) FROM turns WHERE phase <> 'done'").fetchone()[0])


@dataclass
class Result:
    audit: Audit
    complaints: list[str]
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def findings(self) -> list[str]:
        return self.audit.findings + self.complaints


class World:
    """Model, journey-log, players and the life that is up."""

    def __init__(self, directory: Path, seed: int, trouble: float, settle: float) -> None:
        self.directory = directory
        self.where = Where()
        self.model = writing_model()
        self.journey_log = ChaoticJourneyLog(seed, trouble, settle)
        self.players: list[Player] = []
        self.store_url = ""
        self._seed = seed
        self._settle = settle

    def life(self, broken: Fault = "none") -> Life:
        if broken != "none":  # what is to be damaged needs a target that is as late as it likes
            self.journey_log.settle = math.inf
        urls = self.model.base_url, self.journey_log.url
        return Life(self.directory, *urls, broken=broken, settle=self._settle, url=self.store_url)

    def populate(self, players: int, turns: int, manners: Manners | None = None) -> None:
        budget = Budget(turns)
        for number in range(players):
            seed = self._seed * 1000 + number
            self.players.append(Player(self.where, self.journey_log, budget, seed, manners))
        for player in self.players:
            player.start()

    @property
    def playing(self) -> bool:
        return any(player.is_alive() for player in self.players)

    def finish(self, life: Life) -> Result:
        """The last life: everybody ends what they play, every turn ends, then it is audited."""
        worker = Worker(life)
        self.where.move(worker.port)
        try:
            wait_until(lambda: not self.playing, "every player is done")
            wait_until(lambda: not open_turns(life.store), "every turn is done")
        finally:
            self.where.give_up()
            code = worker.end()
        result = self.result(life)
        if code != 0:
            result.complaints.append(f"the last life ended with {code}")
        return result

    def result(self, life: Life) -> Result:
        seen = [sight for player in self.players for sight in player.seen]
        accepted = [turn_id for player in self.players for turn_id in player.accepted]
        found = audit(life.store, self.journey_log.writes, seen, accepted)
        return Result(found, [line for player in self.players for line in player.complaints])


@contextmanager
def world(directory: Path, seed: int, trouble: float, settle: float = SETTLE) -> Iterator[World]:
    directory.mkdir(exist_ok=True)
    made = World(directory, seed, trouble, settle)
    with made.model, made.journey_log:
        try:
            yield made
        finally:
            made.where.give_up()


# -- kill -9 at every point -----------------------------------------------------------------------


def killed(
    directory: Path,
    *,
    turns: int,
    players: int = 12,
    seed: int = 1,
    trouble: float = 0.12,
    broken: Fault = "none",
    points: tuple[str, ...] = POINTS,
    hits: tuple[int, int] = (8, 24),
    settle: float = SETTLE,
) -> Result:
    """Play `turns` turns while life after life is killed at one point after the other."""
    began, draw = time.monotonic(), random.Random(seed)
    kills: Counter[str] = Counter()
    with world(directory, seed, trouble, settle) as made:
        life = made.life(broken)
        made.populate(players, turns)
        while made.playing:
            point = points[sum(kills.values()) % len(points)]
            hit = draw.randint(1, 3) if point.split()[-1] in RARE else draw.randint(*hits)
            if not _doomed(made, replace(life, doom=point, hit=hit)):
                break
            kills[point] += 1
        result = made.finish(life)
    result.kills, result.seconds = kills, time.monotonic() - began
    return result


def _doomed(made: World, life: Life) -> bool:
    """One life to its violent end; False when nobody plays any more."""
    arrivals = 0

    def arrived(kind: str) -> None:
        nonlocal arrivals
        if life.doom is not None and life.doom.endswith(f"works on {kind}"):
            arrivals += 1
            if arrivals == life.hit:
                worker.send(signal.SIGKILL)

    inside = life if life.doom in INSIDE_POINTS else replace(life, doom=None)
    worker = Worker(inside)
    made.journey_log.arrived = arrived
    made.where.move(worker.port)
    try:
        wait_until(lambda: worker.dead_within(0.02) or not made.playing, f"killed {life.doom}")
    finally:
        made.where.move(0)
        made.journey_log.arrived = lambda kind: None
        code = worker.end(signal.SIGKILL)
    return code == -signal.SIGKILL and made.playing


# -- two owners of one store ----------------------------------------------------------------------


def two_owners(
    directory: Path,
    kind: str,
    *,
    broken: Fault = "none",
    players: int = 4,
    url: str = "",
    stopped: Callable[[], None] = lambda: None,
) -> Result:
    """A server is stopped in the middle of its writes of `kind`, a second one takes its turns over
    and ends them, then the first one wakes up. `url`: of PostgreSQL, for the place of SQLite; `stopped`
    is called when the first one stands still."""
    began, held = time.monotonic(), Counter[str]()

    def again() -> bool:
        """Without settling, nobody waits for what may be under way still."""
        return broken != "no settling" or held[WRITE_KINDS[kind]] >= 2 * players

    lands_within = math.inf if broken == "no settling" else SETTLE
    with world(directory, 1, 0.0, lands_within) as made:
        made.store_url = url
        made.journey_log.arrived = lambda arrived: held.update([arrived])
        gate = threading.Event()
        made.journey_log.fail(kind, *[late(gate)] * players)
        life = replace(made.life(broken), beside=True)
        first = Worker(replace(life, timeout=PATIENCE))
        try:
            made.where.move(first.port)
            made.populate(players, players)
            wait_until(lambda: held[WRITE_KINDS[kind]] == players, f"all write {kind}")
            first.send(signal.SIGSTOP)
            stopped()
            result = _taken_over(made, life, first, gate, again)
        finally:
            gate.set()
            first.end(signal.SIGKILL)
    result.kills, result.seconds = Counter({f"stop at {kind}": 1}), time.monotonic() - began
    return result


def _taken_over(
    made: World, life: Life, first: Worker, gate: threading.Event, ready: Callable[[], bool]
) -> Result:
    second = Worker(life)
    try:
        made.where.move(second.port)
        wait_until(ready, "all is written again")
        if life.broken != "no settling":  # else it lands behind what was sent again
            gate.set()
        wait_until(lambda: not open_turns(life.store), "every turn is done")
        gate.set()
        first.send(signal.SIGCONT)
        wait_until(lambda: not made.playing, "every player is done")
    finally:
        made.where.give_up()
        second.end()
    return made.result(life)


# -- clients that misbehave -----------------------------------------------------------------------

ROUGH = Manners(leaves=0.06, cancels=0.01, dawdles=0.1)


def loaded(
    directory: Path, *, turns: int, players: int = 16, seed: int = 3, trouble: float = 0.04
) -> Result:
    """Nobody dies; clients leave, come back, cancel and read slowly."""
    began = time.monotonic()
    with world(directory, seed, trouble) as made:
        made.populate(players, turns, ROUGH)
        result = made.finish(made.life())
    result.seconds = time.monotonic() - began
    return result


# -- everything -----------------------------------------------------------------------------------


def show(name: str, result: Result, *, good: bool) -> bool:
    """Prints; whether it is as it should be."""
    wrong = result.findings if good else result.audit.lost + result.audit.duplicated
    verdict = "ok" if bool(wrong) != good else "NOT AS IT SHOULD BE"
    print(f"{name}: {result.audit.figures()}", flush=True)
    print(f"  {sum(result.kills.values())} kills at {len(result.kills)} points", end="")
    print(f", {result.seconds:.0f} s: {verdict}", flush=True)
    for line in wrong[:20] if good else []:
        print("  " + line)
    return bool(wrong) != good


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        result = killed(root / "kills", turns=3000, players=24, hits=(10, 30))
        fine = show("kill -9", result, good=True)
        for point in POINTS:
            print(f"    {result.kills[point]:3} {point}")
        fine &= show("load", loaded(root / "load", turns=1000), good=True)
        for kind in ("quest", "combat", "poi", "narrative"):
            stopped = two_owners(root / kind, kind)
            fine &= show(f"stopped in {kind}, taken over", stopped, good=True)
        fine &= _controls(root)
    print("everything is as it should be" if fine else "SOMETHING IS WRONG")
    return 0 if fine else 1


def _controls(root: Path) -> bool:
    """With a part of the protocol left out the same harness has to find something."""
    fine = True
    lame: tuple[Fault, ...] = ("no read-back", "no settling")
    for broken in lame:
        result = killed(root / broken, turns=150, broken=broken)
        fine &= show(f"control, {broken}", result, good=False)
    unfenced = two_owners(root / "unfenced", "combat", broken="no fence")
    return show("control, no fence", unfenced, good=False) and fine


if __name__ == "__main__":
    sys.exit(main())
