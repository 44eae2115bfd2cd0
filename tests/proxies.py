"""The example configurations in `deploy/`, each with the proxy that it is for."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.engines import wait_for_port
from tools.ports import free_port
from tools.proxies import nginx_main

from installed import program

DEPLOY = Path(__file__).parent.parent / "deploy"
PATIENCE = 300.0
HOST = "play.example"
_SERVICE = "127.0.0.1:8080"  # in each example


@dataclass(frozen=True)
class Proxy:
    """`changes`: lines of the example and what a test has there; `main` is a file that includes the
    example, as the packaged configuration does."""

    name: str
    example: str
    changes: tuple[tuple[str, str], ...]
    command: tuple[str, ...]
    main: str = ""

    def write(self, folder: Path, port: int, service_port: int) -> None:
        """The example as an operator would adapt it."""
        text = (DEPLOY / self.example).read_text("utf-8")
        for old, new in (*self.changes, (_SERVICE, f"127.0.0.1:{service_port}")):
            text = _replaced(text, old, new.replace("PORT", str(port)))
        (folder / self.example).write_text(text)
        (folder / "main").write_text(self.main.replace("PORT", str(port)))


def _replaced(text: str, old: str, new: str) -> str:
    """Comments stay as they are."""
    lines = text.splitlines(keepends=True)
    found = [line for line in lines if old in line and not line.lstrip().startswith("#")]
    assert len(found) == 1, (old, found)
    return text.replace(found[0], found[0].replace(old, new))


_MODULES = ("mpm_event", "authz_core", "alias", "env", "headers", "proxy", "proxy_http", "deflate")
_APACHE = """
{modules}
User nobody
Group nogroup
ServerName localhost
Listen 127.0.0.1:PORT
PidFile apache.pid
DefaultRuntimeDir .
Mutex fcntl:.
ErrorLog /dev/stderr
StartServers 1
Include apache.conf
""".format(
    modules="\n".join(
        f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in _MODULES
    )
)

PROXIES = (
    Proxy(
        name="nginx",
        example="nginx.conf",
        changes=(("listen 80;", "listen 127.0.0.1:PORT;"),),
        command=("-p", ".", "-e", "stderr", "-c", "main"),
        main=nginx_main("nginx.conf"),
    ),
    Proxy(
        name="haproxy",
        example="haproxy.cfg",
        changes=(("bind :80", "bind 127.0.0.1:PORT"),),
        command=("-db", "-f", "haproxy.cfg"),
    ),
    Proxy(
        name="caddy",
        example="Caddyfile",
        changes=(
            ("play.example {", "http://play.example:PORT {"),
            ("grace_period 10s", "grace_period 10ms\n\tadmin off"),
        ),
        command=("run", "--config", "Caddyfile", "--adapter", "caddyfile"),
    ),
    Proxy(
        name="apache2",
        example="apache.conf",
        changes=(("<VirtualHost *:80>", "<VirtualHost 127.0.0.1:PORT>"),),
        command=("-d", ".", "-f", "main", "-D", "FOREGROUND"),
        main=_APACHE,
    ),
)


@contextmanager
def in_front_of(service_port: int, proxy: Proxy) -> Iterator[int]:
    """The port of the real proxy, started with its example."""
    command = [program(proxy.name), *proxy.command]
    with TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        proxy.write(folder, port, service_port)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": name},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for_port(port, lambda: _check(process, folder / "log"))
            yield port
        finally:
            # Some end only when each connection that a client has left open is over, after seconds.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


def _check(process: subprocess.Popen[bytes], log: Path) -> None:
    assert process.poll() is None, log.read_text("utf-8", "replace")
