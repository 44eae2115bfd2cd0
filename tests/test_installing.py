"""How the service is installed and kept running: image, systemd unit, manifests for Kubernetes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from app.bootstrap import Settings
from app.cli.main import main
from app.cli.server import CLOSE_SECONDS

from processes import ROOT, TIMEOUT
from serving import Served

IMAGE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
GRACE = Settings.model_fields["shutdown_grace_seconds"].default + CLOSE_SECONDS
SETTINGS = {name.upper() for name in Settings.model_fields}


# -- the image ------------------------------------------------------------------------------------


def steps(name: str) -> list[str]:
    """What follows an instruction of the Dockerfile, each time."""
    return re.findall(rf"^ *{name} +(.*)$", IMAGE, re.MULTILINE)


def context(target: Path) -> None:
    """The files that a build gets: those that the Dockerfile copies and .dockerignore lets through."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").split() if line[0] == "!"
    }
    sources = [one.split()[:-1] for one in steps("COPY") if not one.startswith("--from")]
    for source in [name for line in sources for name in line]:
        assert source in allowed
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target / source, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy(ROOT / source, target / source)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image installs of the service itself, built from what a build gets and nothing else."""
    folder = tmp_path_factory.mktemp("image")
    context(folder)
    assert any(
        step.endswith("pip install --no-deps --no-build-isolation .") for step in steps("RUN")
    )
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    assert built.returncode == 0, built.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "installed")
    return folder / "installed"


def test_the_image_has_every_file_of_the_service(unpacked: Path) -> None:
    def files(folder: Path) -> set[str]:
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        return {name for name in found if "__pycache__" not in name}

    assert files(unpacked / "app") == files(ROOT / "app")
    (points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert f"{json.loads(steps('ENTRYPOINT')[0])[0]} = app.cli.__main__:main" in points.read_text()


def variables() -> dict[str, str]:
    """Of the image that is run."""
    return {
        name: value for line in steps("ENV")[1:] for name, value in re.findall(r"(\w+)=(\S+)", line)
    }


def test_image_does_not_start_until_access_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command of the image with the variables of the image."""
    monkeypatch.chdir(tmp_path)
    for name, value in (variables() | {"STORE_URL": f"sqlite:///{tmp_path}/store.db"}).items():
        monkeypatch.setenv(name, value)
    assert main(json.loads(steps("CMD")[-1])) == 2
    assert capsys.readouterr().err.startswith("dungeon-master: HOST: ")


class Stub(BaseHTTPRequestHandler):
    """Answers with the status that is set."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def stub() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Stub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def healthy(port: int) -> bool:
    """What the health check of the image says of a server."""
    (check,) = re.findall(r"HEALTHCHECK .*? CMD (\[.*\])", IMAGE)
    _, *arguments = json.loads(check)
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"PORT": str(port), "PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=TIMEOUT,
    )
    return done.returncode == 0


@pytest.mark.parametrize("status", [200, 302, 401, 404, 421, 503])
def test_only_an_answer_of_200_is_healthy(stub: HTTPServer, status: int) -> None:
    Stub.status = status
    assert healthy(stub.server_port) == (status == 200)


def test_the_service_is_healthy_and_nothing_is_not(service: Served) -> None:
    assert healthy(service.port)
    assert not healthy(1)


# -- systemd --------------------------------------------------------------------------------------

UNIT = ROOT / "deploy" / "dungeon-master.service"


def unit(name: str) -> list[str]:
    """The values of a name in the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


def test_the_unit_waits_for_running_turns_and_sets_known_settings() -> None:
    assert int(unit("TimeoutStopSec")[0]) > GRACE
    assert unit("KillSignal") == ["SIGTERM"]
    named = {word.partition("=")[0] for line in unit("Environment") for word in line.split()}
    assert {name for name in named if not name.startswith("PYTHON")} <= SETTINGS
    assert unit("RestartPreventExitStatus") == ["2"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize(
    "check", [["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]]
)
def test_systemd_takes_the_unit_and_finds_it_confined(check: list[str], tmp_path: Path) -> None:
    path = tmp_path / UNIT.name
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text("utf-8")))
    command = ["systemd-analyze", *check, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert UNIT.name not in done.stderr


# -- Kubernetes -----------------------------------------------------------------------------------

Schema = dict[str, Any]
TEXTS: Schema = {"*": str}
META: Schema = {"name": str, "labels": TEXTS, "annotations": TEXTS}
PROBE: Schema = {
    "httpGet": {"path": str, "port": str},
    **dict.fromkeys(("periodSeconds", "timeoutSeconds", "failureThreshold"), int),
}
CONTAINER: Schema = {
    "name": str,
    "image": str,
    "ports": [{"name": str, "containerPort": int}],
    "envFrom": [{"configMapRef": {"name": str}, "secretRef": {"name": str}}],
    "env": [{"name": str, "value": str, "valueFrom": {"fieldRef": {"fieldPath": str}}}],
    "startupProbe": PROBE,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "resources": {"requests": TEXTS, "limits": TEXTS},
    "securityContext": {
        "allowPrivilegeEscalation": bool,
        "readOnlyRootFilesystem": bool,
        "capabilities": {"drop": [str]},
    },
    "volumeMounts": [{"name": str, "mountPath": str}],
}
POD: Schema = {
    "automountServiceAccountToken": bool,
    "terminationGracePeriodSeconds": int,
    "securityContext": {
        "runAsNonRoot": bool,
        **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), int),
        "seccompProfile": {"type": str},
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": int,
            "topologyKey": str,
            "whenUnsatisfiable": str,
            "labelSelector": {"matchLabels": TEXTS},
        }
    ],
    "containers": [CONTAINER],
    "volumes": [{"name": str, "emptyDir": {}}],
}
KINDS: dict[str, Schema] = {
    "v1/ConfigMap": {"data": TEXTS},
    "v1/Service": {
        "spec": {"selector": TEXTS, "ports": [{"name": str, "port": int, "targetPort": str}]}
    },
    "policy/v1/PodDisruptionBudget": {
        "spec": {"minAvailable": int, "selector": {"matchLabels": TEXTS}}
    },
    "apps/v1/Deployment": {
        "spec": {
            "replicas": int,
            "selector": {"matchLabels": TEXTS},
            "strategy": {"type": str, "rollingUpdate": {"maxUnavailable": int, "maxSurge": int}},
            "template": {"metadata": META, "spec": POD},
        }
    },
}
"""The fields that are used, as the API of Kubernetes 1.31 names and types them."""


def misfits(value: Any, schema: Any, where: str = "") -> Iterator[str]:
    """Fields that the schema does not have, and values of another type."""
    match schema:
        case dict():
            for name in value if isinstance(value, dict) else ():
                if name not in schema and "*" not in schema:
                    yield f"{where}.{name}"
                else:
                    yield from misfits(
                        value[name], schema.get(name, schema.get("*")), f"{where}.{name}"
                    )
            if not isinstance(value, dict):
                yield where
        case [inner]:
            for number, one in enumerate(value if isinstance(value, list) else ()):
                yield from misfits(one, inner, f"{where}[{number}]")
            if not isinstance(value, list):
                yield where
        case _:
            if type(value) is not schema:
                yield where


MANIFESTS = {
    one["kind"]: one
    for one in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8"))
}
POD_SPEC = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
(NODE,) = POD_SPEC["containers"]


@pytest.mark.parametrize("kind", KINDS)
def test_manifests_have_fields_of_the_api_only(kind: str) -> None:
    manifest = MANIFESTS[kind.rpartition("/")[2]]
    schema = {"apiVersion": str, "kind": str, "metadata": META, **KINDS[kind]}
    assert f"{manifest['apiVersion']}/{manifest['kind']}" == kind
    assert list(misfits(manifest, schema)) == []
    assert len(MANIFESTS) == len(KINDS)


@pytest.mark.parametrize(
    ("value", "schema", "found"),
    [
        ({"a": 1}, {"b": int}, [".a"]),
        ({"a": "1"}, {"a": int}, [".a"]),
        ({"a": True}, {"a": int}, [".a"]),
        ({"a": [1, "x"]}, {"a": [int]}, [".a[1]"]),
        ({"a": 1}, {"a": {}}, [".a"]),
        ({"a": {"x": 1}}, {"a": TEXTS}, [".a.x"]),
    ],
)
def test_a_manifest_that_does_not_fit_is_seen(value: Any, schema: Any, found: list[str]) -> None:
    assert list(misfits(value, schema)) == found


def test_pods_are_found_by_their_labels_and_ports_by_their_names() -> None:
    labels = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    (port,) = NODE["ports"]
    assert port["containerPort"] == Settings.model_fields["port"].default
    assert MANIFESTS["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    mounted = {mount["name"] for mount in NODE["volumeMounts"]}
    assert mounted == {volume["name"] for volume in POD_SPEC["volumes"]}


def test_a_node_that_goes_is_given_the_time_to_finish_and_another_one_stays() -> None:
    assert POD_SPEC["terminationGracePeriodSeconds"] > GRACE
    spec = MANIFESTS["Deployment"]["spec"]
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["minAvailable"] < spec["replicas"]


def test_nodes_have_known_settings_and_the_user_of_the_image() -> None:
    named = {*MANIFESTS["ConfigMap"]["data"], *(one["name"] for one in NODE["env"])} - {"POD_IP"}
    assert named <= SETTINGS
    assert f"{POD_SPEC['securityContext']['runAsUser']}:10001" in steps("USER")
    refers = [*({} | one for one in NODE["envFrom"])]
    assert refers[0]["configMapRef"]["name"] == MANIFESTS["ConfigMap"]["metadata"]["name"]


@pytest.mark.parametrize("name", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_are_answered_whatever_host_they_name(service: Served, name: str) -> None:
    path = NODE[name]["httpGet"]["path"]
    assert service.call("GET", path, Host="10.1.2.3:8080").status == 200
