"""The real command against the fakes, with the client of `Served`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from processes import Process, running
from serving import Served


class At(Served):
    """A server that somebody else has started, on a port of loopback."""

    def __init__(self, port: int) -> None:
        self.port = port


class Remote(At):
    def __init__(self, process: Process) -> None:
        super().__init__(process.port())
        self.process = process


def environment(model: FakeModel, journey_log: FakeJourneyLog, **more: str) -> dict[str, str]:
    return {
        "STORE_URL": "sqlite:///store.db",
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": "sk-test-key",
        "JOURNEY_LOG_BASE_URL": journey_log.url,
        "QUEST_TRIGGER_PROB": "1",
        "POI_TRIGGER_PROB": "1",
        "QUEST_COOLDOWN_TURNS": "0",
        "POI_COOLDOWN_TURNS": "0",
        "RNG_SEED": "x",
        "MAX_TURNS_PER_CHARACTER_PER_SECOND": "100",
        "MAX_LOOP_LAG_SECONDS": "60",
        **more,
    }


@contextmanager
def remote(directory: Path, environment: dict[str, str]) -> Iterator[Remote]:
    with running(directory, **environment) as process:
        yield Remote(process)
