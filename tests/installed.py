"""Programs of the machine that tests need beside Python."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tools import engines


@contextmanager
def required() -> Iterator[None]:
    """Where a program is missing the test is skipped, or fails under REQUIRE_SERVICES."""
    try:
        yield
    except engines.NotInstalled as missing:
        if os.environ.get("REQUIRE_SERVICES"):
            pytest.fail(f"{missing} is not installed")
        pytest.skip(f"{missing} is not installed")


def program(*names: str) -> str:
    """The path of the first that is there; see `required`."""
    with required():
        return engines.program(*names)
