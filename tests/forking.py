"""Runs the tests in processes that are forked when all are collected.

To import and collect takes as long as a thousand tests do, and processes that are started for themselves
do it again, each of them. These take one file after the other, those that take long before the others, so
that none is left alone with one at the end; the first process shows what they report.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import SimpleNamespace
from typing import Any, Final, NoReturn

import pytest

_BYTES: Final = 4  # of the number of a file
_ALLOCATIONS: Final = (
    10_000  # before a collection of garbage: a tenth of the time is theirs by default
)
LONG: Final = (
    "test_play_games.py",
    "test_bench.py",
    "test_chaos_holding.py",
    "test_play_page.py",
    "test_demo_crash.py",
    "test_chaos_kills.py",
    "test_schema.py",
    "test_cli_commands.py",
    "test_chaos_nodes.py",
    "test_turn_rules.py",
    "test_chaos_tables.py",
    "test_hub_kills.py",
    "test_proofs.py",
    "test_traces.py",
    "test_topology.py",
    "test_documents.py",
    "test_concurrency.py",
    "test_architecture.py",
    "test_replay.py",
)
"""Files in the order in which they begin, before all others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--forks`; with `-n`, `--pdb` or a single file, tests run as pytest does it."""
    parser.addoption("--forks", type=int, default=0, help="processes that share the files of tests")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """None: pytest is to run them."""
    option = session.config.option
    files = [list(items) for _, items in groupby(session.items, lambda item: item.path)]
    files.sort(key=lambda items: _turn_of(items[0].path.name))
    count = min(option.forks, len(files))
    spread = option.numprocesses is not None or hasattr(session.config, "workerinput")  # by xdist
    otherwise = spread or option.usepdb or option.collectonly
    if count < 2 or otherwise or session.testsfailed:
        return None
    queue = Queue(len(files))
    if processes := sys.modules.get("processes"):  # some of the tests start them
        processes.run_the_server()
    gc.collect()
    gc.freeze()  # no collection looks again at what all processes share
    workers = [Worker(session, taken(files, queue), number) for number in range(count)]
    try:
        show(session, workers, queue)
    finally:
        for worker in workers:
            worker.stop()
    return True


def _turn_of(file: str) -> int:
    return LONG.index(file) if file in LONG else len(LONG)


def show(session: pytest.Session, workers: Sequence[Worker], queue: Queue) -> None:
    """What the processes report, until all have ended."""
    running = {worker.inbox: worker for worker in workers}
    while running:
        for inbox in wait(list(running)):
            assert isinstance(inbox, Connection)
            if not running[inbox].show(session.config):
                del running[inbox]
        if session.shouldfail or session.shouldstop:
            list(queue)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


class Queue:
    """The numbers of the files that no process has taken, in a pipe that all of them read."""

    def __init__(self, count: int) -> None:
        self._numbers, writer = os.pipe()
        os.write(writer, b"".join(number.to_bytes(_BYTES, "big") for number in range(count)))
        os.close(writer)

    def __iter__(self) -> Iterator[int]:
        while number := os.read(self._numbers, _BYTES):
            yield int.from_bytes(number, "big")


def taken(files: Sequence[list[pytest.Item]], queue: Queue) -> Iterator[pytest.Item]:
    """The tests of one file after the other; a file is taken when its first test is asked for."""
    for number in queue:
        yield from files[number]


class Worker:
    """A forked process, as the first one sees it."""

    def __init__(self, session: pytest.Session, items: Iterator[pytest.Item], number: int) -> None:
        temporary: Any = getattr(session.config, "_tmp_path_factory")  # noqa: B009
        folder = temporary.getbasetemp() / f"fork-{number}"
        folder.mkdir()
        self.inbox, outbox = Pipe(duplex=False)
        self._running = ""  # the test that it is at
        self._pid: int | None = os.fork()
        if self._pid == 0:
            temporary._basetemp = folder
            work(session, items, outbox)
        outbox.close()

    def show(self, config: pytest.Config) -> bool:
        """Pass the next of its reports to the plugins; False when it has ended."""
        try:
            sent = self.inbox.recv()
        except EOFError:
            if self._status() != 0:
                config.hook.pytest_runtest_logreport(report=ended_early(self._running))
            return False
        if isinstance(sent, str):
            self._running = sent
        else:
            replay(config, sent)
        return True

    def _status(self) -> int:
        assert self._pid is not None
        pid, self._pid = self._pid, None
        return os.waitpid(pid, 0)[1]

    def stop(self) -> None:
        """If it runs still, the first process was interrupted."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGINT)
            self._status()


def replay(config: pytest.Config, sent: Sequence[dict[str, Any]]) -> None:
    """All reports on one test."""
    hook = config.hook
    reports = [hook.pytest_report_from_serializable(config=config, data=data) for data in sent]
    first = reports[0]
    hook.pytest_runtest_logstart(nodeid=first.nodeid, location=first.location)
    for report in reports:
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=first.nodeid, location=first.location)


def ended_early(nodeid: str) -> pytest.TestReport:
    path = nodeid.partition("::")[0]
    message = f"the process of the tests ended at {nodeid or 'its end'}"
    return pytest.TestReport(nodeid, (path, None, path), {}, "failed", message, "call")


# -- in the forked process ------------------------------------------------------------------------


def work(session: pytest.Session, items: Iterator[pytest.Item], outbox: Connection) -> NoReturn:
    """Run the tests and end the process."""
    status = 1
    gc.set_threshold(_ALLOCATIONS)
    try:
        settle_in(session.config, Outbox(session.config, outbox))
        run(session, items)
        outbox.close()
        status = 0
    except BaseException:
        session.config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
        traceback.print_exc()
        with suppress(Exception):
            session._setupstate.teardown_exact(None)
    finally:
        os._exit(status)


def settle_in(config: pytest.Config, outbox: Outbox) -> None:
    """Reports go to the first process only, and output is captured in files of its own."""
    plugins = config.pluginmanager
    capture = plugins.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    terminal = plugins.getplugin("terminalreporter")
    plugins.unregister(terminal)
    plugins.register(SimpleNamespace(_tw=terminal._tw), "terminalreporter")
    plugins.register(outbox)


def run(session: pytest.Session, items: Iterator[pytest.Item]) -> None:
    """What pytest does with those of a session."""
    item = next(items, None)
    while item is not None and not (session.shouldfail or session.shouldstop):
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following


class Outbox:
    """Sends the name of a test when it begins, and all reports on it when it has ended."""

    def __init__(self, config: pytest.Config, outbox: Connection) -> None:
        self._config = config
        self._outbox = outbox
        self._reports: list[dict[str, Any]] = []

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._outbox.send(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._reports.append(data)

    def pytest_runtest_logfinish(self) -> None:
        self._outbox.send(self._reports)
        self._reports = []
