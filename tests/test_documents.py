"""Every command, script and link in the documents is what it says.

Blocks of `bash`, `python` and `js` run in their order against a server of their own; a `console` block
shows what needs something else (a container engine, a model) and is not run.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import chromium
from processes import ROOT, python, running
from serving import Served
from test_deploy import deployed

IN_DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = ["README.md", "STREAMING_ARCHITECTURE.md", "deploy/README.md", *IN_DOCS]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VALUE = re.compile(r"[\[{]")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_ADDRESS = re.compile(r"(?:127\.0\.0\.1|localhost):8080")


def text_of(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def blocks(document: str, language: str) -> list[str]:
    return [code for kind, code in _FENCE.findall(text_of(document)) if kind == language]


def with_blocks(language: str) -> list[str]:
    return [document for document in DOCUMENTS if blocks(document, language)]


def answers(document: str) -> str:
    """The JSON shown directly below commands."""
    found = list(_FENCE.finditer(text_of(document)))
    return "".join(
        after[2]
        for before, after in itertools.pairwise(found)
        if (before[1], after[1]) == ("bash", "json") and after.start() - before.end() == 2
    )


def members(text: str) -> set[frozenset[str]]:
    """The names in each JSON object among the text, or in the first one of a list."""
    found, decoder, at = set(), json.JSONDecoder(), 0
    while match := _VALUE.search(text, at):
        try:
            value, at = decoder.raw_decode(text, match.start())
        except ValueError:
            at = match.end()
            continue
        found.add(frozenset(value[0] if isinstance(value, list) and value else value))
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address without its scheme, and the folder that it runs in."""
    folder = tmp_path_factory.mktemp("documents")
    pace = {"STORYTELLER_TOKENS_PER_SECOND": "2000", "MAX_STREAMS_PER_CLIENT": "1000"}
    with running(folder, MAX_TURNS_PER_CHARACTER_PER_SECOND="100", **pace) as process:
        yield f"127.0.0.1:{process.port()}", folder


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As a reader would run it: in the folder of the service, one block after another."""
    ends = "set -m\ntrap 'for job in $(jobs -p); do kill -- -$job 2>/dev/null; done' EXIT\n"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ends + script],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=800,
    )


@pytest.mark.parametrize("document", with_blocks("bash"))
def test_commands_succeed(document: str, server: tuple[str, Path]) -> None:
    address, folder = server
    script = _ADDRESS.sub(address, "\n".join(blocks(document, "bash")))
    script = script.replace(".venv/bin/python", sys.executable)
    script = script.replace(".venv/bin/dungeon-master", f"{sys.executable} -m app.cli")
    found = shell(script.replace("curl ", "curl --fail-with-body "), folder)
    assert found.returncode == 0, found.stdout + found.stderr
    assert members(answers(document)) <= members(found.stdout)


SCRIPTS = [
    pytest.param(document, number, id=f"{document}-{number}")
    for document in with_blocks("python")
    for number in range(len(blocks(document, "python")))
]


@pytest.mark.parametrize(("document", "number"), SCRIPTS)
def test_python_runs_as_it_stands(document: str, number: int, server: tuple[str, Path]) -> None:
    address, folder = server
    code = _ADDRESS.sub(address, blocks(document, "python")[number])
    found = python("-c", code, directory=folder)
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.split()) > 20, found.stdout  # a story


@pytest.mark.parametrize("document", with_blocks("js"))
def test_browser_code_runs_in_the_console_of_the_page(
    document: str, server: tuple[str, Path]
) -> None:
    """One block may use what an earlier one has declared."""
    address, _ = server
    code = "\n".join(blocks(document, "js"))
    code = re.sub(r"^import (.*?) from (.*);$", r"const \1 = await import(\2);", code, flags=re.M)
    with chromium() as browser:
        tab = browser.tab(f"http://{address}/")
        tab.run(
            "window.printed = ''; window.show = console.log = (text) => { printed += text; }; 0"
        )
        tab.run(f"(async () => {{ {code} }})()")
        tab.wait("printed.split(' ').length > 40", 40)


def anchors(document: str) -> set[str]:
    """Of its headings, as GitHub derives them."""
    plain = [
        re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text_of(document))
    ]
    return {f"#{heading.strip().replace(' ', '-')}" for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for path, anchor in _LINK.findall(text_of(document)):
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), path
        if anchor and target.suffix == ".md":
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), path + anchor


def test_each_alert_has_its_part_of_the_runbook() -> None:
    alerts = re.findall(r"alert: (\w+)", deployed("alerts.yml"))
    assert set(alerts) <= set(
        re.findall(r"^### (\w+)$", text_of("docs/operating.md"), re.MULTILINE)
    )


def test_each_metric_is_described(service: Served) -> None:
    table = text_of("docs/metrics.md").partition("## Log lines")[0]
    families = re.findall(
        r"^# TYPE (\w+) ", service.call("GET", "/metrics").body.decode(), re.MULTILINE
    )
    described = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(described) == sorted(families)
