"""The layers of the service, held by the imports of its modules (TYPE_CHECKING ones included)."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ROOT / "app").rglob("*.py"))}


@cache
def imported(path: Path, package: str = "") -> tuple[str, ...]:
    """Absolute names of modules; of the package only where the name is not a module of its own."""
    return tuple(_imported(path, package))


def _imported(path: Path, package: str) -> Iterator[str]:
    for node in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            whole = [f"{base}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else base for name in whole)


def statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Those inside others, too. Imports are among them: most of what `ast.walk` sees is expressions."""
    for node in body:
        yield node
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from statements(getattr(node, part, []))


def package_of(name: str) -> str:
    return name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]


@cache
def imports() -> dict[str, set[str]]:
    """Of each module of the service, those that it imports."""
    return {
        name: {other for other in imported(path, package_of(name)) if other in MODULES}
        for name, path in MODULES.items()
    }


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def users_of(package: str) -> set[str]:
    return {name for name, others in imports().items() if any(inside(o, package) for o in others)}


def test_the_imports_are_really_found() -> None:
    assert "app.core.text" in imports()["app.core.prose"]
    assert "app.adapters.openai.model" in imports()["app.adapters.openai.probing"]
    assert "app.web.app" in imports()["app.bootstrap.builder"]


@pytest.mark.parametrize("name", [name for name in MODULES if inside(name, "app.core")])
def test_core_imports_only_core_and_errors(name: str) -> None:
    allowed = {other for other in imports()[name] if inside(other, "app.core", "app.errors")}
    assert imports()[name] == allowed | ({"app"} & imports()[name])


IMPURE = {"asyncio", "httpx", "httpx2", "openai", "random", "secrets", "socket", "sqlite3"}
IMPURE |= {"starlette", "structlog", "threading", "time", "os", "pathlib", "logging", "stamina"}


@pytest.mark.parametrize(
    "name", [name for name in MODULES if inside(name, "app.core", "app.errors")]
)
def test_core_needs_no_clock_random_network_or_file(name: str) -> None:
    assert not {other.partition(".")[0] for other in imported(MODULES[name])} & IMPURE


@pytest.mark.parametrize("name", [name for name in MODULES if inside(name, "app.core")])
def test_core_awaits_nothing(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(tree) if isinstance(node, waiting)]


@pytest.mark.parametrize("chosen", ["app.adapters", "app.standins"])
def test_only_bootstrap_imports_adapters_and_standins(chosen: str) -> None:
    outside = {name for name in users_of(chosen) if not inside(name, chosen, "app.adapters")}
    assert outside
    assert all(inside(name, "app.bootstrap") for name in outside)


def test_only_entry_points_import_bootstrap() -> None:
    users = {name for name in users_of("app.bootstrap") if not inside(name, "app.bootstrap")}
    assert all(inside(name, "app.cli") for name in users)


BENEATH_THE_WEB = ["app.ports", "app.generation", "app.eventlog", "app.telemetry", "app.adapters"]
FEATURES = ["app.turns", "app.characters", "app.dialogue", "app.frontends", "app.assistants"]
FEATURES += ["app.hub", "app.operations"]
WEB_SIDE = {"api", "routes", "schemas", "socket", "campaign", "moderation", "wiring"}
WEB_SIDE |= {"protocol", "question_routes"}


@pytest.mark.parametrize("layer", BENEATH_THE_WEB)
def test_nothing_beneath_the_web_knows_of_it(layer: str) -> None:
    assert not [name for name in users_of("app.web") if inside(name, layer)]


@pytest.mark.parametrize("feature", FEATURES)
def test_only_the_web_side_of_a_feature_knows_of_the_web(feature: str) -> None:
    users = [name for name in users_of("app.web") if inside(name, feature)]
    assert {name.rpartition(".")[2] for name in users} <= WEB_SIDE


OUTSIDE = {"api", "schemas", "service"}
"""Modules of a feature that other features may import."""


@pytest.mark.parametrize("feature", FEATURES[1:])
def test_a_feature_imports_no_other_feature_s_inside(feature: str) -> None:
    """Turns are what the others are built on."""
    others = [other for other in FEATURES[1:] if other != feature]
    reached = {
        name
        for user, names in imports().items()
        if inside(user, feature)
        for name in names
        if inside(name, *others)
    }
    assert {name.rpartition(".")[2] for name in reached} <= OUTSIDE


@pytest.mark.parametrize("feature", FEATURES)
def test_one_file_outside_a_feature_names_its_wiring(feature: str) -> None:
    users = {user for user, names in imports().items() if f"{feature}.wiring" in names}
    assert {user for user in users if not inside(user, feature)} == {"app.bootstrap.features"}


def circle() -> list[str]:
    """The modules on an import circle; empty when there is none."""
    left = {name: {o for o in others if o != name} for name, others in imports().items()}
    while leaves := [name for name, others in left.items() if not others & left.keys()]:
        for name in leaves:
            del left[name]
    return sorted(left)


def test_no_module_is_on_an_import_circle() -> None:
    assert circle() == []


@cache
def declared() -> set[str]:
    """The import names of the distributions that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    wanted = {_distribution(line) for line in asked}
    names = packages_distributions().items()
    return {name for name, owners in names if wanted & {_distribution(o) for o in owners}}


def _distribution(requirement: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0]
    return name.lower().replace("_", "-").replace(".", "-")


@cache
def own() -> set[str]:
    return {path.stem for path in TESTS.rglob("*.py")} | {
        path.name for path in [*ROOT.iterdir(), *TESTS.iterdir()] if path.is_dir()
    }


TEST_FILES = sorted(TESTS.rglob("*.py"))


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_tests_import_nothing_from_outside_the_repository(path: Path) -> None:
    used = {name.partition(".")[0] for name in imported(path)} - {""}
    assert used <= sys.stdlib_module_names | declared() | own()


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_tests_name_no_path_outside_the_repository(path: Path) -> None:
    assert ("/wo" + "rk/") not in path.read_text(encoding="utf-8")


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in TEST_FILES if path.name.startswith("test_")]
    assert len(names) == len(set(names))


_ARCHITECTURE = (ROOT / "STREAMING_ARCHITECTURE.md").read_text("utf-8")
_MODULES = _ARCHITECTURE.partition("\n## Modules\n")[2].partition("\n## ")[0]
_PLACE = re.compile(r"`([a-z_0-9]+(?:/[a-z_0-9]+)*)(?:\.py:(\w+))?`")


def missing_places(section: str) -> list[str]:
    """Modules, packages and names of `section` that are not below `app/`."""
    return [
        f"{place}:{name}"
        for place, name in _PLACE.findall(section)
        if not is_place(ROOT / "app" / place, name)
    ]


def is_place(path: Path, name: str) -> bool:
    module = path.with_suffix(".py")
    if not name:
        return path.is_dir() or module.is_file()
    words = rf"^ *(?:async )?(?:(?:def|class) {name}\b|{name}\b.* = )"
    return module.is_file() and bool(re.search(words, module.read_text("utf-8"), re.MULTILINE))


def test_modules_of_the_architecture_exist() -> None:
    assert len(_PLACE.findall(_MODULES)) > 100
    assert missing_places(_MODULES) == []


@pytest.mark.parametrize(
    "place", ["turns/none", "turns/executor.py:nothing", "turns/none.py:cancel"]
)
def test_a_missing_module_or_name_is_found(place: str) -> None:
    assert missing_places(f"`{place}`") != []
