"""The kinds of content: each module here defines one as `KIND`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

from app.content.kind import Kind

KINDS: Final[tuple[Kind[Any, Any], ...]] = tuple(
    import_module(f"{__name__}.{found.name}").KIND for found in iter_modules(__path__)
)
