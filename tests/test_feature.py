"""A feature is one module and one line in the list of features."""

from __future__ import annotations

from pathlib import Path

import pytest
from app.bootstrap import load_settings
from app.bootstrap.features import FEATURES
from app.settings import BadSetting

import toy
from passes import WITH_SECRET, token
from serving import Served

WITH_TOY = (*FEATURES, toy.FEATURE)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(
        features=WITH_TOY,
        store_url=f"sqlite:///{tmp_path}/store.db",
        toy_start=41,
        **WITH_SECRET,
    )


def test_a_feature_of_one_module_is_served_described_measured_and_configured(
    served: Served,
) -> None:
    try:
        reply = served.call("GET", "/toy", Authorization=f"Bearer {token(scope='content')}")
        assert reply.json() == {"count": 42}
        assert served.call("GET", "/toy").status == 401
        assert (
            served.call("GET", "/toy", Authorization=f"Bearer {token(scope='turns')}").status == 403
        )
        described = served.call("GET", "/openapi.json").json()["paths"]["/toy"]["get"]
        assert described["operationId"] == "getToy"
        assert "dungeon_master_toy_count 42.0" in served.call("GET", "/metrics").body.decode()
    finally:
        served.close()


def test_a_bad_value_of_a_feature_s_setting_is_named() -> None:
    with pytest.raises(BadSetting, match=r"^TOY_START: "):
        load_settings(WITH_TOY, _env_file=None, toy_start=0)


def test_the_toy_is_small() -> None:
    assert len(Path(toy.__file__).read_text("utf-8").splitlines()) <= 60
