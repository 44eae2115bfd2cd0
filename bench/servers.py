"""What is measured: the service with its real settings, the floor, the limit; and their upstreams."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import jwt

from bench.client import Target
from bench.model import Pace
from bench.processes import CLIENT_CORE, ROOT, SERVER_CORE, Process, process
from bench.trees import PRESENT, Tree

LOGS: Final = ROOT / "bench" / "results-logs"
USERS: Final = 100
_SECRET: Final = "the-secret-of-the-bench-0123456789abcdef"

SETTINGS: Final = {
    "PORT": "0",
    "OPENAI_API_KEY": "sk-none",
    "LLM_API": "responses",
    "QUEST_TRIGGER_PROB": "1",
    "POI_TRIGGER_PROB": "1",
    "LOG_JSON_FORMAT": "true",
    "MAX_STREAMS": "100000",
    "MAX_STREAMS_PER_CLIENT": "100000",
    "MAX_CONCURRENT_LLM_CALLS": "10000",
    "MAX_TURNS_PER_CHARACTER_PER_SECOND": "100",
    "MAX_LOOP_LAG_SECONDS": "60",
    "SHUTDOWN_GRACE_SECONDS": "0",
}
"""Everything that production has is on; nothing is refused."""

GUARDED: Final = {
    "AUTH_MODE": "jwt",
    "JWT_SECRET": _SECRET,
    "LIMIT_USER_PER_MINUTE": "10000000",
    "LIMIT_ADDRESS_PER_MINUTE": "10000000",
    "LIMIT_GLOBAL_PER_MINUTE": "10000000",
    "TOKENS_PER_USER_PER_DAY": "1000000000000",
}


def authorizations() -> tuple[str, ...]:
    """Header lines, one for each user."""
    until = int(time.time()) + 7_200
    claims = ({"sub": f"user-{n}", "scope": "turns", "exp": until} for n in range(USERS))
    return tuple(f"Authorization: Bearer {jwt.encode(one, _SECRET)}\r\n" for one in claims)


class Upstreams:
    """The model and journey-log, and the handle to turn them with."""

    def __init__(self, running: Process) -> None:
        self.url = f"http://127.0.0.1:{running.port}"
        self.process = running

    def set_pace(self, pace: Pace) -> None:
        self._post("pace", pace.sent())

    def writes(self) -> dict[str, int]:
        """What journey-log was sent since the last time; see `JourneyLog.summary`."""
        return dict(self._post("writes", {}))

    def _post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(f"{self.url}/bench/{path}", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except OSError as error:  # nothing can be measured without them
            raise SystemExit(f"the upstreams do not answer: {error}") from None


class Workbench:
    """Where servers run beside their upstreams, each in a directory of its own below `directory`.

    A server is there for as long as its block. `keep_logs`: the logs outlive the run.
    """

    def __init__(self, directory: Path, upstreams: Upstreams) -> None:
        self.directory = directory
        self.upstreams = upstreams
        self.keep_logs = False

    @contextmanager
    def peer(self, module: str, name: str) -> Iterator[Target]:
        """The floor or the limit."""
        command = [sys.executable, "-m", f"bench.{module}", self.upstreams.url]
        with process(name, command, core=SERVER_CORE, parent=self.directory) as started:
            yield Target(started, token=b"event: token", numbered=False)

    @contextmanager
    def service(
        self,
        name: str = "service",
        settings: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
        tree: Tree = PRESENT,
    ) -> Iterator[Target]:
        """`command`: another one than the tree's own entry point."""
        given = {
            **SETTINGS,
            "OPENAI_BASE_URL": f"{self.upstreams.url}/v1",
            "JOURNEY_LOG_BASE_URL": self.upstreams.url,
            "STORE_URL": "sqlite:///store.db",
            "LLM_PROBE": "off",
            **(settings or {}),
        }
        given = {name: value for name, value in given.items() if value}
        headers = authorizations() if given.get("AUTH_MODE") == "jwt" else ("",)
        with self.started(name, command or tree.serve, tree.root, given) as started:
            yield Target(started, headers=headers)

    def started(
        self, name: str, command: Sequence[str], root: Path, environment: Mapping[str, str]
    ) -> AbstractContextManager[Process]:
        """A service that imports from `root`."""
        return process(
            name,
            command,
            core=SERVER_CORE,
            parent=self.directory,
            root=root,
            environment=environment,
        )


@contextmanager
def running_workbench() -> Iterator[Workbench]:
    """No process outlives the block. Logs do when something went wrong."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        parent, command = Path(directory), [sys.executable, "-m", "bench.upstreams"]
        with process("upstreams", command, core=CLIENT_CORE, parent=parent) as upstreams:
            workbench = Workbench(parent, Upstreams(upstreams))
            try:
                yield workbench
            except (Exception, SystemExit):
                workbench.keep_logs = True
                raise
            finally:
                if workbench.keep_logs:
                    _keep_logs(parent)


def _keep_logs(directory: Path) -> None:
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir()
    for log in directory.glob("*/*.log"):
        shutil.copy(log, LOGS)
    print(f"the logs are in {LOGS}", file=sys.stderr)
