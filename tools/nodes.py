"""The services of deploy/compose.yaml as plain processes of this machine.

    make nodes               or: python -m tools.nodes [--port 8080]

PostgreSQL, Redis, nginx and openssl have to be installed. Prometheus and Grafana are started where they
are installed. Addresses, environments and configurations are those of `deploy/`, with ports of loopback
in place of the names of containers. OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL and
JOURNEY_LOG_BASE_URL are taken from the environment. Everything is in a temporary folder, which Ctrl-C
removes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import yaml

from tools.engines import NotInstalled, PostgresServer, RedisServer, program, wait_for_port
from tools.ports import free_port
from tools.proxies import nginx_main

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
NODES: Final = ("node-a", "node-b")
OPTIONAL: Final = ("prometheus", "grafana")
STOP_SECONDS: Final = 60.0
_KEPT: Final = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
_VARIABLE: Final = re.compile(r"\$\{(\w+)(:[-?])?([^}]*)\}")


class Postgres(PostgresServer):
    user = "dungeon_master"


def services() -> dict[str, Any]:
    """Those of the compose file, by name."""
    read = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert isinstance(read, dict)
    return dict(read["services"])


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?message}` as compose reads them. Raises `KeyError`."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        given = variables.get(name, "")
        if kind == ":?" and not given:
            raise KeyError(f"{name}: {rest}")
        return given or (rest if kind == ":-" else "")

    return _VARIABLE.sub(value, text)


def started(
    command: list[str], folder: Path, environment: Mapping[str, str], out: BinaryIO
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)


class Topology:
    """What runs, and where. `ports`: of loopback, by the address that a container would have.
    `variables`: what the compose file asks the environment for."""

    def __init__(self, folder: Path, stack: ExitStack, variables: Mapping[str, str]) -> None:
        self.ports: dict[str, int] = {}
        self.missing: list[str] = []
        """Optional services whose program is not installed."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._listening: dict[str, int] = {}
        self._folder = folder
        self._stack = stack
        self._services = services()
        self._variables = variables

    def port_of(self, address: str) -> int:
        """The same one whenever it is asked for."""
        return self.ports.setdefault(address, free_port())

    def moved(self, text: str) -> str:
        """`text` with `service:port` replaced by where that service is here."""
        names = "|".join(self._services)
        return re.sub(
            rf"(?<![\w.-])(?:{names}):\d+",
            lambda found: f"127.0.0.1:{self.port_of(found[0])}",
            text,
        )

    def environment(self, service: str) -> dict[str, str]:
        """Of a service, as the compose file has it."""
        given = self._services[service].get("environment", {})
        return {
            name: self.moved(filled_in(value, self._variables)) for name, value in given.items()
        }

    # -- engines ----------------------------------------------------------------------------------

    def start_engines(self) -> None:
        postgres = Postgres()
        self._stack.callback(postgres.close)
        postgres.psql("CREATE DATABASE dungeon_master")
        redis = RedisServer()
        self._stack.callback(redis.close)
        self.ports |= {"postgres:5432": postgres.port, "redis:6379": redis.port}

    # -- processes --------------------------------------------------------------------------------

    def start(self, name: str, command: list[str], port: int, **environment: str) -> None:
        """In a folder of its own; `wait` for it to listen on `port`."""
        folder, log = self.folder(name), self.log(name)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with log.open("wb") as out:
            given = {**kept, "PYTHONPATH": str(ROOT), **environment}
            process = started(command, folder, given, out)
        self.processes[name] = process
        self._listening[name] = port
        self._stack.callback(self.stop, name)

    def wait(self) -> None:
        """Until all that was started listens. Raises `RuntimeError` where one ends instead."""
        for name, port in self._listening.items():
            wait_for_port(port, partial(self._is_alive, name))

    def _is_alive(self, name: str) -> None:
        if self.processes[name].poll() is not None:
            raise RuntimeError(f"{name} has ended:\n{self.log(name).read_text(errors='replace')}")

    def folder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        return self.folder(name) / "log"

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """Its exit code; `number`: the signal that ends it."""
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def start_journey_log(self) -> None:
        port = self.port_of("journey-log:8080")
        command = [sys.executable, "-m", "app.standins.journey_log", "journey-log.db"]
        self.start("journey-log", [*command, "--port", str(port)], port)

    def start_node(self, name: str) -> None:
        port = self.port_of(f"{name}:8080")
        command = [sys.executable, "-m", "app.cli", "serve"]
        own = {"HOST": "127.0.0.1", "PORT": str(port), "LOG_JSON_FORMAT": "true"}
        self.start(name, command, port, **self.environment(name), **own)

    def start_nginx(self, port: int) -> None:
        self.ports |= {"nginx:80": port or free_port(), "nginx:443": free_port()}
        folder = self.folder("nginx")
        shutil.copy(DEPLOY / "prepare.sh", folder)
        subprocess.run(["sh", "prepare.sh"], cwd=folder, check=True)
        text = self.moved((DEPLOY / "nodes.nginx.conf").read_text("utf-8"))
        for inside, here in (
            ("listen 80;", f"listen 127.0.0.1:{self.ports['nginx:80']};"),
            ("listen 443 ", f"listen 127.0.0.1:{self.ports['nginx:443']} "),
            ("/etc/nginx/tls/", f"{folder}/tls/"),
        ):
            text = text.replace(inside, here)
        (folder / "nodes.nginx.conf").write_text(text)
        (folder / "main").write_text(nginx_main("nodes.nginx.conf"))
        command = [program("nginx"), "-p", ".", "-e", "stderr", "-c", "main"]
        self.start("nginx", command, self.ports["nginx:80"])

    def start_prometheus(self) -> None:
        found, folder = program("prometheus"), self.folder("prometheus")
        text = self.moved((DEPLOY / "prometheus.yml").read_text("utf-8"))
        (folder / "prometheus.yml").write_text(text)
        shutil.copy(DEPLOY / "alerts.yml", folder)
        port = self.port_of("prometheus:9090")
        self.start(
            "prometheus",
            [
                found,
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            port,
        )

    def start_grafana(self) -> None:
        found, folder = program("grafana-server"), self.folder("grafana")
        for kind in ("datasources", "dashboards"):
            text = self.moved((DEPLOY / "grafana" / f"{kind}.yml").read_text("utf-8"))
            text = text.replace("/var/lib/grafana/dashboards", str(folder / "shown"))
            _written(folder / "provisioning" / kind / "dungeon-master.yml", text)
        _written(folder / "shown" / "dashboard.json", _dashboard())
        port = self.port_of("grafana:3000")
        own = {
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_PATHS_DATA": str(folder / "data"),
            "GF_PATHS_PROVISIONING": str(folder / "provisioning"),
        }
        command = [found, "--homepath", "/usr/share/grafana"]
        self.start("grafana", command, port, **self.environment("grafana"), **own)

    def start_where_installed(self, name: str, start: Callable[[], None]) -> None:
        try:
            start()
        except NotInstalled:
            self.missing.append(name)


def _dashboard() -> str:
    return (DEPLOY / "grafana-dashboard.json").read_text("utf-8")


def _written(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@contextmanager
def topology(
    variables: Mapping[str, str], port: int = 0, *, watched: bool = True
) -> Iterator[Topology]:
    """Everything of the compose file, started in order. `port`: nginx's plain one. `watched`: with
    Prometheus and Grafana, where they are installed. Raises `NotInstalled` and `RuntimeError`."""
    with tempfile.TemporaryDirectory(prefix="nodes-") as name, ExitStack() as stack:
        secret = {"POSTGRES_PASSWORD": "unused", "GRAFANA_PASSWORD": "admin"}
        made = Topology(Path(name), stack, {**secret, **variables})
        made.start_engines()
        if not variables.get("JOURNEY_LOG_BASE_URL"):
            made.start_journey_log()
        for node in NODES:
            made.start_node(node)
        made.start_nginx(port)
        made.wait()
        if watched:
            made.start_where_installed("prometheus", made.start_prometheus)
            made.start_where_installed("grafana", made.start_grafana)
            made.wait()
        yield made


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="nodes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8080, help="where players come in")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    try:
        with topology(os.environ, options.port) as running:
            for address, port in running.ports.items():
                print(f"{address:18} http://127.0.0.1:{port}/")
            for name in running.missing:
                print(f"{name:18} is not installed")
            print("\nCtrl-C ends everything.", flush=True)
            signal.pause()
    except NotInstalled as missing:
        print(f"nodes: {missing} is not installed", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
