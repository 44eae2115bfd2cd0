"""What is installed may be passed on, is what the locks say, and is audited truthfully."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from processes import python

ROOT = Path(__file__).parent.parent
_PIN = re.compile(r"^([\w.-]+)==(\S+)(.*?)( \\)?$", re.MULTILINE)


def pins(lock: str) -> dict[str, tuple[str, str]]:
    """Version and marker of each package in a lock file."""
    rows = _PIN.findall((ROOT / lock).read_text("utf-8"))
    return {name: (version, marker.strip()) for name, version, marker, _ in rows}


# -- licences -------------------------------------------------------------------------------------

PERMISSIVE = {"MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"}
# As packages that have no licence expression yet call them.
PERMISSIVE |= {"MIT License", "BSD License", "Apache Software License", "DFSG approved"}
PERMISSIVE |= {"Python Software Foundation License", "3-Clause BSD License"}
# Asks for nothing while its files are used as they came.
UNCHANGED = {"MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"}
USED_UNCHANGED = {"axe-playwright-python", "certifi", "hypothesis", "pathspec"}
# Its metadata names none: a wrapper, and axe-core itself, as their own files say.
UNNAMED = {"axe-playwright-python": {"MIT", "MPL-2.0"}}


def licences(package: PackageMetadata) -> set[str]:
    """Every licence that is named, whether it is one of several to choose from or not."""
    for expression in package.get_all("License-Expression") or []:
        return set(re.findall(r"[\w.-]+", expression)) - {"AND", "OR"}
    classifiers = [line.split(" :: ") for line in package.get_all("Classifier") or []]
    named = {parts[-1] for parts in classifiers if parts[0] == "License"}
    return named or set(package.get_all("License") or UNNAMED.get(package["Name"], {"none"}))


@pytest.mark.parametrize("name", pins("requirements-dev.lock"))
def test_each_dependency_is_under_a_permissive_licence(name: str) -> None:
    try:
        found = licences(metadata(name))
    except PackageNotFoundError:
        _, marker = pins("requirements-dev.lock")[name]
        assert marker, "locked for this machine too"
        pytest.skip(f"not installed here {marker}")
    assert found <= PERMISSIVE | (UNCHANGED if name in USED_UNCHANGED else set())


# -- locks ----------------------------------------------------------------------------------------


def test_tested_versions_are_the_shipped_ones() -> None:
    tested = pins("requirements-dev.lock")
    for name, (version, _) in pins("requirements.lock").items():
        assert (name, version) == (name, tested[name][0])


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert "--index" not in text


# -- the audit ------------------------------------------------------------------------------------

KNOWN = {("jinja2", "2.4.1"): "GHSA-of-old"}
Audit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """The audit of a lock with starlette 1.10.0 alone."""
    lock = tmp_path / "a.lock"
    lock.write_text(f"starlette==1.10.0 --hash=sha256:{'a' * 64}\n", "utf-8")

    def run(url: str, *options: str) -> subprocess.CompletedProcess[str]:
        given = [f"--lock={lock}", f"--osv-url={url}", f"--cache-dir={tmp_path}"]
        return python("tools/audit.py", *given, *options)

    return run


@contextmanager
def advisories(known: dict[tuple[str, str], str]) -> Iterator[str]:
    """The address of a service like OSV that knows these vulnerabilities."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            package = {"name": asked["package"]["name"], "ecosystem": "PyPI"}
            found = known.get((package["name"], asked["version"]))
            fixed = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}
            entry: dict[str, Any] = {"id": found, "summary": "Escapes its cage."}
            entry["affected"] = [{"package": package, "ranges": [fixed]}]
            answer = json.dumps({"vulns": [entry]} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), name="advisories", daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def test_an_audit_that_finds_nothing_passes(audit: Audit) -> None:
    with advisories(KNOWN) as url:
        ran = audit(url)
    assert (ran.returncode, ran.stdout) == (0, "audited 1 releases: 0 known vulnerabilities\n")


def test_a_vulnerable_release_fails_the_audit_with_its_fix(audit: Audit) -> None:
    with advisories({**KNOWN, ("starlette", "1.10.0"): "GHSA-new"}) as url:
        ran = audit(url, "--offline-ok")
    assert ran.returncode == 1
    assert ran.stdout.startswith("starlette 1.10.0: GHSA-new, fixed in 99.1: Escapes its cage.\n")


def test_a_vulnerability_can_be_accepted_by_its_id(audit: Audit) -> None:
    with advisories({**KNOWN, ("starlette", "1.10.0"): "GHSA-new"}) as url:
        assert audit(url, "--ignore-vuln=GHSA-new").returncode == 0


def test_a_service_without_data_is_no_audit(audit: Audit) -> None:
    with advisories({}) as url:
        ran = audit(url)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "could NOT be audited" in ran.stderr


def test_no_service_is_no_audit_and_said_loudly_where_that_may_be(audit: Audit) -> None:
    nobody = "http://127.0.0.1:9/v1/query"
    strict, lenient = audit(nobody), audit(nobody, "--offline-ok")
    assert (strict.returncode, lenient.returncode) == (2, 0)
    for ran in (strict, lenient):
        assert ran.stdout == ""
        assert "WARNING: the dependencies could NOT be audited: " in ran.stderr
