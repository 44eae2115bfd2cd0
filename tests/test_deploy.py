"""What is deployed beside the service speaks of metrics and settings that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from app.bootstrap import Settings

from serving import Served

ROOT = Path(__file__).parent.parent
WATCHING = ["alerts.yml", "grafana-dashboard.json"]
_METRIC = re.compile(r"\b(?:dungeon_master_\w+|\w+_(?:total|bucket|sum|count))\b")
_FAMILY = re.compile(r"^# TYPE (\w+) (\w+)$", re.MULTILINE)
# Variables of Python, pip and the image, which are no settings of the service.
_FOREIGN = re.compile(r"PATH|PIP_\w+|PYTHON\w+")


def exported(service: Served) -> set[str]:
    """Every sample name that `/metrics` can hold."""
    names: set[str] = set()
    for name, kind in _FAMILY.findall(service.call("GET", "/metrics").body.decode()):
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names |= {name + suffix for suffix in suffixes}
    return names


def deployed(name: str) -> str:
    return (ROOT / "deploy" / name).read_text("utf-8")


@pytest.mark.parametrize("name", WATCHING)
def test_every_metric_watched_is_exported(service: Served, name: str) -> None:
    used = set(_METRIC.findall(deployed(name)))
    assert len(used) > 5
    assert used <= exported(service)


def test_the_dashboard_is_json_with_a_query_in_each_panel() -> None:
    dashboard: dict[str, Any] = json.loads(deployed("grafana-dashboard.json"))
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers) > 0
    for panel in dashboard["panels"]:
        assert all(_METRIC.search(target["expr"]) for target in panel["targets"])
        assert panel["targets"]


def test_the_image_and_the_compose_file_set_known_settings() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    blocks = re.findall(r"^ENV ((?:.*\\\n)*.*)$", image, re.MULTILINE)
    named = [name for block in blocks for name in re.findall(r"(\w+)=", block)]
    named += re.findall(r"^      ([A-Z_]+):", deployed("compose.yaml"), re.MULTILINE)
    ours = {name for name in named if not _FOREIGN.fullmatch(name)}
    assert {"HOST", "STORE_URL", "ALLOWED_HOSTS"} <= ours
    assert ours <= {name.upper() for name in Settings.model_fields}


def test_the_image_does_not_open_the_service_to_everybody_by_itself() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    assert "ALLOW_ANONYMOUS=true" not in re.sub(r"^#.*$", "", image, flags=re.MULTILINE)
