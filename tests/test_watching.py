"""The alerts, the metrics and the dashboard, with the real Prometheus and its promtool."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml
from tools.ports import free_port

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, Usage
from installed import program
from processes import ROOT, TIMEOUT
from serving import Served, turn_body

DEPLOY: Final = ROOT / "deploy"
GROUPS = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
_FAMILY = re.compile(r"^# TYPE (\w+)", re.MULTILINE)


def promtool(*arguments: str, folder: Path = DEPLOY, text: str = "") -> tuple[int, str]:
    """Its exit code, and what it says."""
    done = subprocess.run(
        [program("promtool"), *arguments],
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "check",
    [
        ["check", "rules", "--lint-fatal", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_takes_rules_configuration_and_tests(check: list[str]) -> None:
    code, said = promtool(*check)
    assert code == 0, said


def test_each_alert_has_a_test_that_fails_if_it_never_fires(tmp_path: Path) -> None:
    rules = [rule | {"expr": "vector(0) > 1"} for rule in ALERTS.values()]
    groups = {"groups": [{"name": "all", "rules": rules}]}
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(groups))
    (tmp_path / "alerts.test.yml").write_text((DEPLOY / "alerts.test.yml").read_text("utf-8"))
    code, said = promtool("test", "rules", "alerts.test.yml", folder=tmp_path)
    assert code == 1
    assert set(re.findall(r"alertname: (\w+)", said)) == ALERTS.keys()


# -- a busy service and a Prometheus that watches it ----------------------------------------------


class Prometheus:
    """It scrapes a service, and answers queries."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str) -> Any:
        """`data` of the answer. Raises `OSError` for anything else than 200."""
        with urlopen(f"{self._url}{path}", timeout=TIMEOUT) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """Of the series that are the result; those without a number left out."""
        found = self.ask(f"/query?query={quote(query)}")["result"]
        values = [float(series["value"][1]) for series in found]
        return [value for value in values if not math.isnan(value)]


@contextmanager
def watching(folder: Path, service: Served) -> Iterator[Prometheus]:
    """A Prometheus of its own, with the example's configuration in a hurry."""
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{service.port}"]}]
    config["rule_files"] = [str(DEPLOY / "alerts.yml")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    found = Prometheus(port)
    try:
        wait(lambda: _answers(found, process, folder / "log"))
        yield found
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def _answers(prometheus: Prometheus, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text("utf-8", "replace")
    try:
        return bool(prometheus.ask("/rules")["groups"])
    except OSError:
        return False


def wait(so: Callable[[], object]) -> None:
    """Until it is so."""
    until = time.monotonic() + TIMEOUT
    while not so():
        assert time.monotonic() < until, f"not so after {TIMEOUT} s"
        time.sleep(0.05)


def play(service: Served, model: FakeModel, character: str) -> None:
    """A turn of the model and one of its fallback, one that fails, and one whose reader leaves."""
    service.call("POST", "/turn", turn_body(character))
    model.then(Script(status=404))
    service.call("POST", "/turn", turn_body(character))
    model.then(*[Script(text="no outcome at all")] * 2)
    service.call("POST", "/turn", turn_body(character))
    with service.open("POST", "/turn/stream", turn_body(character)) as response:
        response.fp.readline()
    wait(lambda: service.call("GET", f"/characters/{character}").json()["active_turn"] is None)


def test_a_real_prometheus_answers_every_query_of_the_dashboard(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    tmp_path: Path,
) -> None:
    service = serve(
        max_turns_per_character_per_second=100,
        model_prices="gpt-9=0/1000",
        openai_model="gpt-9",
        openai_fallback_model="unpriced",
        tokens_per_user_per_day=10**6,
    )
    character = journey_log.seed_character()
    model.then(Script(usage=Usage(10, 850_000)))
    with watching(tmp_path, service) as prometheus:
        unanswered = {query: query.replace("$__rate_interval", "1h") for query in QUERIES}

        def answered() -> bool:
            play(service, model, character)
            for query, asked in list(unanswered.items()):
                if prometheus.values(asked):
                    del unanswered[query]
            return not unanswered

        wait(answered)
        rules = prometheus.ask("/rules")["groups"][0]["rules"]
        assert {rule["name"] for rule in rules} == ALERTS.keys()
        assert all(rule["health"] in ("ok", "unknown") for rule in rules), rules
        (target,) = prometheus.ask("/targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
    metrics = service.call("GET", "/metrics").body.decode()
    assert promtool("check", "metrics", text=metrics) == (0, "")
    named = [name for name in _FAMILY.findall(metrics) if not name.startswith("dungeon_master_")]
    # The last one has its name from the contract with older dashboards.
    assert [name for name in named if not name.startswith("process_")] == [
        "turn_parse_failures_total"
    ]
