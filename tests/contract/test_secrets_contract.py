"""What every `Secrets` does; each store is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from app.ports.secrets import Secrets
from store_adapters import ADAPTERS, Stores

from loops import in_loop


@pytest.fixture(params=list(ADAPTERS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


def drawn(secrets: Secrets, name: str = "seed") -> str:
    return secrets.secret(name)


@in_loop
async def test_a_secret_is_drawn_once_a_name(stores: Stores) -> None:
    async with stores.process() as store:
        first = drawn(store)
        assert len(first) == 32
        assert drawn(store) == first != drawn(store, "other")


@in_loop
async def test_a_secret_outlives_a_restart(stores: Stores) -> None:
    async with stores.process() as store:
        first = drawn(store)
    async with stores.process() as store:
        assert drawn(store) == first
