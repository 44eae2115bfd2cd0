"""Line numbers for the keys and list items of a TOML document.

`tomllib` reports no positions. A key is on the first line at which the document up to there already
contains it.
"""

import tomllib
from bisect import bisect_left
from typing import Any

Path = tuple[str | int, ...]

_CLOSINGS = ("", "]", '"""', '"""\n]')


def line_of(text: str, path: Path) -> int:
    """The 1-based line of `path`, or of the nearest enclosing table that is in the document."""
    lines = text.splitlines(keepends=True)
    while path and not _contains(tomllib.loads(text), path):
        path = path[:-1]
    return 1 + bisect_left(
        range(len(lines)), True, key=lambda at: _contains(_parsed("".join(lines[: at + 1])), path)
    )


def _parsed(beginning: str) -> Any:
    """The beginning of a document, with an open list or text closed."""
    for closing in _CLOSINGS:
        try:
            return tomllib.loads(beginning + closing)
        except tomllib.TOMLDecodeError:
            continue
    return {}


def _contains(document: Any, path: Path) -> bool:
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
