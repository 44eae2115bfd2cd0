"""All settings: the shared groups and those of the features, as one object."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import create_model

from app.bootstrap.features import FEATURES
from app.feature import FeatureSpec
from app.settings import SharedSettings, read_settings


@cache
def settings_type(features: tuple[FeatureSpec, ...]) -> type[SharedSettings]:
    """One class with the settings of all groups."""
    groups: list[Any] = [one.settings for one in features if one.settings is not None]
    return create_model("Settings", __base__=(SharedSettings, *groups))


Settings = settings_type(FEATURES)


def load_settings(features: Sequence[FeatureSpec] = FEATURES, **overrides: Any) -> SharedSettings:
    """From the environment and `.env`; `overrides` by the names of the fields. Raises `BadSetting`."""
    return read_settings(settings_type(tuple(features)), **overrides)
