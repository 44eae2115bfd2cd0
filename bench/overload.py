"""Proof under load: many open streams, and ten times as many new turns as there is room for.

    make overload            or: python bench/overload.py --seconds 60 --streams 1000

The real server under AUTH_MODE=jwt, a paced model and a journey-log on loopback. When all streams are
open, turns are asked for at ten times the rate at which places become free. What is printed, and
written to bench/results-overload.json: time to first token of turns that were let in, unloaded and
loaded; how fast the others were refused; the server's memory. `added` is what is left of the time
to first token without the model's own.

`--bound streams`: MAX_STREAMS is what runs out; `--bound slots`: MAX_CONCURRENT_LLM_CALLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import uvloop

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results-overload.json"
SECRET = "the-secret-of-the-load-proof-0123456789"
USERS = 100
RUNNING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")


# -- the processes --------------------------------------------------------------------------------


@contextmanager
def process(command: Sequence[str], core: int, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Ends with the block."""
    started = subprocess.Popen(command, text=True, **options)
    pin(started.pid, core)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def pin(pid: int, core: int) -> None:
    """The server has a core of its own, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[core]})


@contextmanager
def upstreams(options: argparse.Namespace) -> Iterator[str]:
    flags = [f"--first={options.first}", f"--pace={options.pace}"]
    command = [sys.executable, str(ROOT / "bench" / "upstreams.py"), *flags]
    with process(command, 1, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        yield f"http://127.0.0.1:{started.stdout.readline().strip()}"


@contextmanager
def server(upstream: str, options: argparse.Namespace, directory: str) -> Iterator[tuple[int, int]]:
    """The port and the process id."""
    streams, spare = options.streams, 10 * options.streams
    settings = {
        "PORT": "0",
        "AUTH_MODE": "jwt",
        "JWT_SECRET": SECRET,
        "OPENAI_BASE_URL": f"{upstream}/v1",
        "OPENAI_API_KEY": "sk-none",
        "JOURNEY_LOG_BASE_URL": upstream,
        "STORE_URL": f"sqlite:///{directory}/store.db",
        "MAX_STREAMS": str(streams if options.bound == "streams" else spare),
        "MAX_STREAMS_PER_CLIENT": str(spare),
        "MAX_CONCURRENT_LLM_CALLS": str(streams),
        "LIMIT_USER_PER_MINUTE": "0",
        "LIMIT_GLOBAL_PER_MINUTE": "0",
        "QUEST_TRIGGER_PROB": "0",
        "POI_TRIGGER_PROB": "0",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "app.cli", "serve"]
    log_path = Path(directory) / "server.log"
    with (
        log_path.open("w") as log,
        process(command, 0, env=settings, stdout=log, stderr=log, cwd=directory) as started,
    ):
        yield port_in(log_path), started.pid


def port_in(log: Path) -> int:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if found := RUNNING.search(log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the players ----------------------------------------------------------------------------------


@dataclass
class Tally:
    """Seconds of those let in and of those refused; how each of them ended."""

    first_token: list[float] = field(default_factory=list)
    refusal: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)


class Player(asyncio.Protocol):
    """One turn on a connection of its own. `first` is set at its first token or its refusal."""

    def __init__(self, tally: Tally, request: bytes) -> None:
        self._tally = tally
        self._request = request
        self._began = time.perf_counter()
        self._tail = b""
        self._status = 0
        self._told = False
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._tail += data
        if not self._status and b"\r\n\r\n" in self._tail:
            self._status = int(self._tail[9:12])
            self._tally.statuses[self._status] += 1
        if self._status == 200:
            self._read()
        elif self._status and b'"error"' in self._tail:
            self._tally.refusal.append(time.perf_counter() - self._began)
            self._transport.close()

    def _read(self) -> None:
        if not self._told and b'"type":"token"' in self._tail:
            self._told = True
            self._tally.first_token.append(time.perf_counter() - self._began)
            self._settle(self.first)
        if b"[DONE]" in self._tail:
            ends = re.findall(rb'"type":"(complete|error|cancelled)"', self._tail)
            self._tally.endings[ends[-1].decode() if ends else "none"] += 1
            self._transport.close()
        self._tail = self._tail[-4_000:] if self._told else self._tail

    def connection_lost(self, error: Exception | None) -> None:
        if self._status == 200 and b"[DONE]" not in self._tail:
            self._tally.endings["broken off"] += 1
        self._settle(self.first)
        self._settle(self.over)

    def _settle(self, future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)


class Crowd:
    def __init__(self, port: int) -> None:
        self._port = port
        now = int(time.time())
        self._tokens = [
            jwt.encode({"sub": f"user-{n}", "scope": "turns", "exp": now + 7_200}, SECRET)
            for n in range(USERS)
        ]
        self._asked = 0
        self._tasks: set[asyncio.Task[Player]] = set()
        self.players: list[Player] = []
        self.lags: list[float] = []

    def request(self, seconds: float) -> bytes:
        self._asked += 1
        action = f"Tell me a story for {seconds:.1f} s."
        body = json.dumps({"character_id": str(uuid.uuid4()), "user_action": action}).encode()
        head = (
            "POST /turn/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self._tokens[self._asked % USERS]}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body

    async def ask(self, tally: Tally, seconds: float) -> Player:
        loop = asyncio.get_running_loop()
        request = self.request(seconds)
        _, player = await loop.create_connection(
            lambda: Player(tally, request), "127.0.0.1", self._port
        )
        self.players.append(player)
        return player

    async def arrive(self, tally: Tally, within: float, lengths: Sequence[float]) -> None:
        """Turns asked for at an even pace, whatever becomes of the earlier ones."""
        loop = asyncio.get_running_loop()
        began, gap = loop.time(), within / len(lengths)
        for number, seconds in enumerate(lengths):
            await asyncio.sleep(began + number * gap - loop.time())
            task = asyncio.create_task(self.ask(tally, seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def watch(self) -> None:
        """How late this very client is: what it adds to the times it measures."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            self.lags.append(loop.time() - due)

    async def first_words(self) -> None:
        await asyncio.wait_for(asyncio.gather(*(player.first for player in self.players)), 60)

    async def over(self, seconds: float) -> None:
        await asyncio.wait_for(asyncio.gather(*(player.over for player in self.players)), seconds)


# -- the proof ------------------------------------------------------------------------------------


def quantiles(seconds: Sequence[float], less: float = 0.0) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {
        name: round((ordered[min(int(part * len(ordered)), len(ordered) - 1)] - less) * 1000, 1)
        for name, part in at.items()
    }


def staggered(options: argparse.Namespace) -> list[float]:
    """Lengths of the first stories, such that they end at an even pace from the overload's start."""
    step = options.long / options.streams
    opened = options.fill / options.streams
    return [options.fill + number * (step - opened) + 1 for number in range(options.streams)]


def say(stage: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {stage}", file=sys.stderr, flush=True)


async def prove(options: argparse.Namespace, port: int, pid: int) -> dict[str, Any]:
    crowd, rate = Crowd(port), options.streams / options.long
    unloaded, filling, loaded = Tally(), Tally(), Tally()
    say("unloaded")
    for _ in range(3):
        await (await crowd.ask(Tally(), 0)).over  # connections, caches
    for _ in range(40):
        await (await crowd.ask(unloaded, 0)).over
    rss_idle = rss_mib(pid)
    say(f"opening {options.streams} streams")
    await crowd.arrive(filling, options.fill, staggered(options))
    await crowd.first_words()
    rss_full, cpu, began = rss_mib(pid), cpu_seconds(pid), time.monotonic()
    offered = options.times * rate
    say(f"{offered:.0f} turns a second where there is room for {rate:.0f}")
    lengths = [options.long] * int(offered * options.seconds)
    watch = asyncio.create_task(crowd.watch())
    await crowd.arrive(loaded, options.seconds, lengths)
    share = (cpu_seconds(pid) - cpu) / (time.monotonic() - began)
    watch.cancel()
    rss_loaded = rss_mib(pid)
    say("to the end of all stories")
    await crowd.over(options.long * 2 + 60)
    return {
        "bound": options.bound,
        "streams": options.streams,
        "open_before_load": filling.statuses[200],
        "room_per_second": round(rate, 2),
        "offered_per_second": round(offered, 2),
        "seconds": options.seconds,
        "first_token_ms": {
            "model": options.first * 1000,
            "unloaded": quantiles(unloaded.first_token),
            "filling": quantiles(filling.first_token),
            "loaded": quantiles(loaded.first_token),
            "unloaded_added": quantiles(unloaded.first_token, options.first),
            "loaded_added": quantiles(loaded.first_token, options.first),
        },
        "let_in": loaded.statuses[200],
        "refused": {str(s): n for s, n in loaded.statuses.items() if s != 200},
        "refusal_ms": quantiles(loaded.refusal),
        "endings": dict(filling.endings + loaded.endings),
        "server_cpu_share": round(share, 2),
        "client_lag_ms": quantiles(crowd.lags),
        "rss_mib": {
            "idle": rss_idle,
            "streams_open": rss_full,
            "under_load": rss_loaded,
            "after": rss_mib(pid),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--bound", choices=("streams", "slots"), default="streams")
    parser.add_argument("--times", type=float, default=10.0, help="what there is room for")
    parser.add_argument("--fill", type=float, default=20.0, help="seconds to open them in")
    parser.add_argument("--long", type=float, default=50.0, help="seconds a story takes")
    parser.add_argument("--first", type=float, default=0.3, help="the model's own first token")
    parser.add_argument("--pace", type=float, default=0.5, help="seconds between deltas")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pin(0, 1)
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        upstream = stack.enter_context(upstreams(options))
        port, pid = stack.enter_context(server(upstream, options, directory))
        found = uvloop.run(prove(options, port, pid))
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
