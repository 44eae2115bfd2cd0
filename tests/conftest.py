"""Fixtures for tests that talk to a real server."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final, TextIO, cast

import pytest
import structlog
from app.adapters.store.sqlite.engine import SqliteEngine
from app.telemetry.logs import configure_logging
from hypothesis import settings
from starlette import routing

import forking
import rewriting
from browser import Browser, chromium
from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from in_memory import keep_files_in_memory
from leaks import Listening
from serving import Served, no_certificates

# Everyday runs try the same examples each time: what fails then is what was changed. A thorough one
# looks for new ones.
settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# A shell that runs the tests in the background has them ignore it, and whatever they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

keep_files_in_memory()
no_certificates()

pytest_addoption = forking.pytest_addoption
pytest_collection = rewriting.pytest_collection
pytest_runtestloop = forking.pytest_runtestloop


@pytest.fixture(scope="session", autouse=True)
def _patterns() -> Iterator[None]:
    """Every service has the same routes: their patterns are compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "compile_path", cache(routing.compile_path))
        yield


@pytest.fixture(scope="session", autouse=True)
def _servers() -> Iterator[None]:
    """Databases that tests have started end with the run."""
    yield
    SERVERS.close()


LISTENING: Final = Listening()


@pytest.fixture(autouse=True)
def logs() -> Iterator[Listening]:
    """Fails a test whose logs say what they may not."""
    LISTENING.leaked.clear()
    # Levels are what loggers look up at every record: to set them takes longer than many a test.
    handlers = logging.getLogger().handlers
    listens = any(LISTENING is getattr(handler, "stream", None) for handler in handlers)
    if not (listens and structlog.is_configured()):
        configure_logging(
            level="INFO",
            json=True,
            service="tests",
            environment="tests",
            stream=cast(TextIO, LISTENING),
        )
    yield LISTENING
    assert LISTENING.leaked == []


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with FakeModel() as server:
        yield server


@pytest.fixture
def journey_log() -> Iterator[FakeJourneyLog]:
    with FakeJourneyLog() as server:
        yield server


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store that nobody has used: all migrations cost more than the rest of a start."""
    path = tmp_path_factory.mktemp("new") / "store.db"
    with closing(SqliteEngine(path)) as engine:
        engine.open()
    return path.read_bytes()


def settings_of(store: Path, model: FakeModel, journey_log: FakeJourneyLog) -> dict[str, Any]:
    return {
        "store_url": f"sqlite:///{store}",
        "openai_base_url": model.base_url,
        "openai_api_key": "sk-test-key",
        "journey_log_base_url": journey_log.url,
        "llm_retry_delay_base": 0.1,
        "llm_retry_delay_max": 1,
        "journey_log_retry_delay_base": 0.1,
        "journey_log_retry_delay_max": 1,
        "journey_log_settle_seconds": 0.3,
        "write_deadline_seconds": 1,
        "admin_endpoints_enabled": True,
        "enable_debug_endpoints": True,
        "max_streams_per_client": 1000,
        "max_turns_per_character_per_second": 100,
    }


@pytest.fixture
def serve(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, new_store: bytes
) -> Iterator[Callable[..., Served]]:
    """Starts the service against the fakes; keyword arguments are settings."""
    started: list[Served] = []
    store = tmp_path / "store.db"

    def start(**settings: Any) -> Served:
        if not store.exists():
            store.write_bytes(new_store)
        served = Served(**{**settings_of(store, model, journey_log), **settings})
        started.append(served)
        return served

    yield start
    for served in started:
        served.close()


@pytest.fixture
def service(serve: Callable[..., Served]) -> Served:
    """The service with default settings against the fakes."""
    return serve()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for the tests of a module that leave nothing in it."""
    store = tmp_path_factory.mktemp("lasting") / "store.db"
    with (
        FakeModel() as model,
        FakeJourneyLog() as journey_log,
        Served(**settings_of(store, model, journey_log)) as service,
    ):
        yield service


@pytest.fixture
def character(journey_log: FakeJourneyLog) -> str:
    """The id of a character of the user `local`."""
    return journey_log.seed_character()


@pytest.fixture(scope="module")
def running_browser() -> Iterator[Browser]:
    # Not for the session: asyncio cannot run in a thread in which Playwright does.
    with chromium() as running:
        yield running


@pytest.fixture
def browser(running_browser: Browser, serve: object) -> Iterator[Browser]:
    """Without pages of other tests, which would ask their ended services again and again. Pages are closed
    before the services of `serve`, whose end would wait for what they read."""
    yield running_browser
    running_browser.close_tabs()
    assert running_browser.complaints == []
