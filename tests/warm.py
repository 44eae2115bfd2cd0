"""What the process that others are forked from has done once, so that none of them does it again.

The first start of the service and its first turn compile patterns, build schemas and import what is
imported late: most of what a process of a test costs.
"""

from __future__ import annotations

import gc
import io
import tempfile
import threading
from pathlib import Path

from app.standins.storyteller.library import library
from app.telemetry.logs import configure_logging

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from serving import Served, no_certificates


def play() -> None:
    """One turn. No thread may be left: a fork does not take it along."""
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeModel() as model,
        FakeJourneyLog() as journey_log,
        Served(
            store_url=f"sqlite:///{Path(folder) / 'store.db'}",
            openai_base_url=model.base_url,
            openai_api_key="sk-test-key",
            journey_log_base_url=journey_log.url,
        ) as service,
    ):
        assert service.turn(journey_log.seed_character()).last["type"] == "complete"
    assert threading.enumerate() == [threading.main_thread()]


configure_logging(level="CRITICAL", json=True, service="", environment="", stream=io.StringIO())
no_certificates()
library()
play()
gc.collect()
gc.freeze()  # a page that the collector writes to is copied
