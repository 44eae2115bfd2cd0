"""The figures of the code, and that each of them is found."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from tools.figures import LIMITS, figures, main, past_limit

HELD = [
    "longest module, lines",
    "modules over 300 lines",
    "function length without docstring, median",
    "function length without docstring, longest",
    "files outside a feature's folder that import it",
    "ports without a contract suite",
    "modules on an import circle",
    "imports in functions",
    "mocks in tests",
]
"""The figures whose limit the code must keep."""


def test_figures_keep_their_limits() -> None:
    found = figures()
    assert [name for name in HELD if past_limit(name, found[name])] == []


def tree(root: Path, files: dict[str, str]) -> Path:
    """A repository with these files besides an empty app and no tests."""
    for path, text in {"app/__init__.py": "", "app/one.py": ONE, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(dedent(text), encoding="utf-8")
    return root


ONE = '''
def public():
    """Documented,

    at length."""
    return 1


def other(): return 2
'''
PORT = "from typing import Protocol\n\n\nclass Port(Protocol): ...\n"


def test_minimal_tree_is_measured(tmp_path: Path) -> None:
    found = figures(tree(tmp_path, {}))
    assert list(found) == list(LIMITS)
    assert list(found.values()) == [9, 9, 0, 1.5, 2, 2, 0, 0, 50, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "files", "value"),
    [
        ("longest module, lines", {"app/two.py": "\n" * 301}, 301),
        ("modules over 300 lines", {"app/two.py": "\n" * 301}, 1),
        (
            "lines of app/ without storyteller data",
            {"app/two.py": "\n" * 3, "app/standins/wood.toml": "\n" * 301},
            12,
        ),
        ("ports without a contract suite", {"app/ports/clock.py": PORT}, 1),
        (
            "ports without a contract suite",
            {"app/ports/clock.py": PORT, "tests/contract/test_clock_contract.py": ""},
            0,
        ),
        (
            "modules on an import circle",
            {"app/two.py": "from app import three", "app/three.py": "from .two import x"},
            2,
        ),
        ("imports in functions", {"app/two.py": "def f():\n    import os"}, 1),
        ("mocks in tests", {"tests/test_a.py": "from unittest import mock"}, 1),
        (
            "files outside a feature's folder that import it",
            {
                "app/maps/routes.py": "from app.maps import service",
                "app/maps/service.py": "",
                "app/turns/routes.py": "from app.maps.service import draw",
                "app/two.py": "from app.maps.routes import ROUTES",
                "app/three.py": "import app.maps.service",
            },
            2,
        ),
    ],
)
def test_figure_sees_a_change(
    tmp_path: Path, name: str, files: dict[str, str], value: float
) -> None:
    assert figures(tree(tmp_path, files))[name] == value


def test_exit_code_is_1_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(tmp_path, {})
    assert main([f"--root={root}"]) == 0
    assert main([f"--root={root}", "--max"]) == 1
    assert "public definitions with a docstring, %                50  >=     65  past" in (
        capsys.readouterr().out
    )
