"""What is deployed beside the service speaks of metrics and settings that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from app.bootstrap import Settings
from tools.nodes import NODES, filled_in, services

from serving import Served

ROOT = Path(__file__).parent.parent
SERVICES = services()
OURS = [name for name, service in SERVICES.items() if "build" in service]
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
    named += [name for service in OURS for name in SERVICES[service].get("environment", {})]
    ours = {name for name in named if not _FOREIGN.fullmatch(name)}
    assert {"HOST", "STORE_URL", "ALLOWED_HOSTS"} <= ours
    assert ours <= {name.upper() for name in Settings.model_fields}


def test_the_image_does_not_open_the_service_to_everybody_by_itself() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    assert "ALLOW_ANONYMOUS=true" not in re.sub(r"^#.*$", "", image, flags=re.MULTILINE)


# -- the compose file ------------------------------------------------------------------------------

_KEYS = {"build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "extra_hosts"}
_KEYS |= {"healthcheck", "image", "ports", "read_only", "restart", "security_opt"}
_KEYS |= {"stop_grace_period", "tmpfs", "volumes"}
# The files of `deploy/` that name services, and the compose file itself.
_SPEAKING = ["compose.yaml", "nodes.nginx.conf", "prometheus.yml", "grafana/datasources.yml"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_known_keys_and_waits_for_its_healthy_dependencies(name: str) -> None:
    service = SERVICES[name]
    assert service.keys() <= _KEYS
    assert "image" in service
    for other in service.get("depends_on", ()):
        assert other in SERVICES
    if isinstance(service.get("depends_on"), dict):
        for other, how in service["depends_on"].items():
            assert how == {"condition": "service_healthy"}
            assert other in OURS or "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", SERVICES)
def test_each_volume_exists_and_each_port_is_of_loopback(name: str) -> None:
    whole = yaml.safe_load(deployed("compose.yaml"))
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.partition(":")[0]
        made = source == "./tls" or source in whole["volumes"]
        assert made or (ROOT / "deploy" / source).is_file()
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", _SPEAKING)
def test_each_address_is_that_of_a_service(name: str) -> None:
    text = re.sub(r"^\s*#.*$", "", deployed(name), flags=re.MULTILINE)
    used = set(re.findall(r"(?:(?<=//)|(?<=@)|(?<=[ \"]))([a-z-]+):(?:\d{4})\b", text))
    assert used
    assert used <= SERVICES.keys()


def test_nodes_differ_in_nothing_but_their_names() -> None:
    first, second = (SERVICES[name] for name in NODES)
    assert first == second
    assert set(NODES) <= set(first["environment"]["ALLOWED_HOSTS"].split(","))
    targets = yaml.safe_load(deployed("prometheus.yml"))["scrape_configs"][0]["static_configs"]
    assert targets == [{"targets": [f"{name}:8080" for name in NODES]}]


def test_every_variable_without_a_default_is_written_by_the_preparation() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", deployed("compose.yaml")))
    assert asked == set(re.findall(r"([A-Z_]+)=%s", deployed("prepare.sh")))


def test_grafana_finds_its_dashboard_and_its_data() -> None:
    (provider,) = yaml.safe_load(deployed("grafana/dashboards.yml"))["providers"]
    (source,) = yaml.safe_load(deployed("grafana/datasources.yml"))["datasources"]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/dungeon-master.json" in mounted
    dashboard = json.loads(deployed("grafana-dashboard.json"))
    (variable,) = dashboard["templating"]["list"]
    assert (source["type"], source["isDefault"]) == (variable["query"], True)


@pytest.mark.parametrize(
    ("text", "read"),
    [("${A}", "a"), ("${A:-x}", "a"), ("${B:-x}", "x"), ("${B:-}", ""), ("${A:?why}/b", "a/b")],
)
def test_variables_are_filled_in_as_compose_does(text: str, read: str) -> None:
    assert filled_in(text, {"A": "a"}) == read


def test_variable_that_is_required_is_missed() -> None:
    with pytest.raises(KeyError, match="B: why"):
        filled_in("${B:?why}", {"B": ""})
