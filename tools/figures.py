"""Prints the size and shape of the code in `app/`, each figure beside its limit.

    python tools/figures.py [--max] [--root FOLDER]

Everything is read from syntax trees; nothing is imported. With `--max` the exit code is 1 when a
figure is past its limit.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
MOCKS: Final = {"unittest.mock", "mock", "pytest_mock", "flexmock", "mockito"}
BUILT_ON: Final = "app.turns"
"""The one feature that other features may import."""

LIMITS: Final[dict[str, tuple[str, float]]] = {
    "lines of app/ without storyteller data": ("<=", 15_500),
    "longest module, lines": ("<=", 300),
    "modules over 300 lines": ("<=", 0),
    "function length without docstring, median": ("<=", 5),
    "function length without docstring, p90": ("<=", 14),
    "function length without docstring, longest": ("<=", 40),
    "files outside a feature's folder that import it": ("<=", 1),
    "ports without a contract suite": ("<=", 0),
    "public definitions with a docstring, %": (">=", 65),
    "modules on an import circle": ("<=", 0),
    "imports in functions": ("<=", 0),
    "mocks in tests": ("<=", 0),
}
FUNCTIONS: Final = ast.FunctionDef, ast.AsyncFunctionDef
IMPORTS: Final = ast.Import, ast.ImportFrom


@dataclass(frozen=True)
class Module:
    """A Python file, its dotted name, and all nodes of its syntax tree."""

    name: str
    path: Path
    lines: int
    nodes: tuple[ast.AST, ...]

    @classmethod
    def read(cls, path: Path, root: Path) -> Module:
        """`root`: the folder that dotted names start from."""
        text = path.read_text(encoding="utf-8")
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        return cls(name, path, len(text.splitlines()), tuple(ast.walk(ast.parse(text))))

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Absolute dotted names; of `from a import b` both `a` and `a.b`."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[str]:
        above = self.name.split(".") + ["_"] * (self.path.name == "__init__.py")
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = ".".join([*above[: -node.level], *filter(None, [node.module])])
                base = base if node.level else node.module or ""
                yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def modules(root: Path, folder: str) -> list[Module]:
    return [Module.read(path, root) for path in sorted((root / folder).rglob("*.py"))]


def with_mocks(root: Path) -> list[Module]:
    """Modules of tests that import one of `MOCKS`; most need not be parsed for it."""
    found = [
        path for path in sorted((root / "tests").rglob("*.py")) if "mock" in path.read_text("utf-8")
    ]
    read = [Module.read(path, root) for path in found]
    return [module for module in read if MOCKS & set(module.imports)]


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    return (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) else 0


def function_lengths(code: list[Module]) -> list[int]:
    """Lines of each definition, signature included, shortest first."""
    found = [n for module in code for n in module.nodes if isinstance(n, FUNCTIONS)]
    return sorted((n.end_lineno or 0) - n.lineno + 1 - docstring_lines(n) for n in found)


def documented_percent(code: list[Module]) -> float:
    kinds = *FUNCTIONS, ast.ClassDef
    found = [n for module in code for n in module.nodes if isinstance(n, kinds)]
    public = [n for n in found if not n.name.startswith("_")]
    return 100 * sum(ast.get_docstring(n) is not None for n in public) / max(len(public), 1)


def circle(code: list[Module]) -> list[str]:
    """Modules on an import circle, or behind one; a package's own file is not its modules'."""
    names = {module.name for module in code}
    left = {m.name: {o for o in m.imports if o in names and o != m.name} for m in code}
    for used in left.values():
        used -= {name for name in used if any(other.startswith(f"{name}.") for other in used)}
    while leaves := [name for name, used in left.items() if not used & left.keys()]:
        for name in leaves:
            del left[name]
    return sorted(left)


def within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def importers(code: list[Module], feature: str, features: set[str]) -> list[str]:
    """Modules outside all features that import from this one."""
    outside = [m for m in code if not any(within(m.name, one) for one in features)]
    return [m.name for m in outside if any(within(name, feature) for name in m.imports)]


def importers_of_features(code: list[Module]) -> int:
    """The most that a feature has; a feature is a package of `app` with a module `routes`."""
    found = {m.name.rpartition(".")[0] for m in code if m.path.stem == "routes"}
    return max((len(importers(code, one, found)) for one in found - {BUILT_ON}), default=0)


def untested_ports(code: list[Module], root: Path) -> list[str]:
    """Modules of app.ports that define a Protocol, without tests/contract/test_PORT*_contract.py
    (of `limits`, `limiter` will do)."""
    suites = [path.stem for path in (root / "tests" / "contract").glob("*_contract.py")]
    ports = [m for m in code if within(m.name, "app.ports") and "typing.Protocol" in m.imports]
    return [
        port.name
        for port in ports
        if not any(name.startswith(f"test_{port.path.stem.rstrip('s')}") for name in suites)
    ]


def imports_in_functions(code: list[Module]) -> int:
    functions = [n for module in code for n in module.nodes if isinstance(n, FUNCTIONS)]
    return sum(isinstance(inner, IMPORTS) for n in functions for inner in ast.walk(n))


def figures(root: Path = ROOT) -> dict[str, float]:
    """The value of each name in `LIMITS`."""
    code = modules(root, "app")
    lines, lengths = [module.lines for module in code], function_lengths(code)
    values: list[float] = [sum(lines), max(lines), sum(count > 300 for count in lines)]
    values += [median(lengths), lengths[int(0.9 * len(lengths))], lengths[-1]]
    values += [importers_of_features(code), len(untested_ports(code, root))]
    values += [documented_percent(code), len(circle(code)), imports_in_functions(code)]
    values += [len(with_mocks(root))]
    return dict(zip(LIMITS, values, strict=True))


def past_limit(name: str, value: float) -> bool:
    sign, limit = LIMITS[name]
    return value > limit if sign == "<=" else value < limit


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--max", action="store_true", help="exit code 1 past a limit")
    parser.add_argument("--root", type=Path, default=ROOT, help="another tree of the repository")
    options = parser.parse_args(arguments)
    past = 0
    for name, value in figures(options.root).items():
        sign, limit = LIMITS[name]
        past += past_limit(name, value)
        mark = "  past" if past_limit(name, value) else ""
        print(f"{name:48} {value:7,.0f}  {sign} {limit:6,.0f}{mark}")
    return int(options.max and past > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
