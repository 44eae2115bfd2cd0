"""Programs of the machine that tests need beside Python."""

from __future__ import annotations

import os
import shutil

import pytest

# Debian keeps servers where only root's PATH looks.
_PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


def program(*names: str) -> str:
    """The path of the first that is there. Without any the test is skipped, or fails under
    REQUIRE_SERVICES."""
    found = next(filter(None, (shutil.which(name, path=_PLACES) for name in names)), None)
    if found is None and os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(f"{names[0]} is not installed")
    return found or pytest.skip(f"{names[0]} is not installed")
