"""All settings: the shared groups and those of the features, as one object."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import create_model
from pydantic_settings import DotEnvSettingsSource

from app.bootstrap.features import FEATURES
from app.feature import FeatureSpec
from app.requirements import nearest
from app.settings import SharedSettings, read_settings


@cache
def settings_type(features: tuple[FeatureSpec, ...]) -> type[SharedSettings]:
    """One class with the settings of all groups."""
    groups: list[Any] = [one.settings for one in features if one.settings is not None]
    return create_model("Settings", __base__=(SharedSettings, *groups))


Settings = settings_type(FEATURES)


def load_settings(features: Sequence[FeatureSpec] = FEATURES, **overrides: Any) -> SharedSettings:
    """The settings from the environment and `.env`; `overrides` by the names of the fields. Raises
    `BadSetting`."""
    return read_settings(settings_type(tuple(features)), **overrides)


class UnknownName(NamedTuple):
    """A variable that no setting is named by, and the setting that was perhaps meant."""

    name: str
    nearest: str | None


def unknown_names(features: Sequence[FeatureSpec] = FEATURES) -> list[UnknownName]:
    """Names in `.env` that no setting has, and those of the environment that are nearly one of ours."""
    kind = settings_type(tuple(features))
    known = {name.upper() for name in kind.model_fields}
    in_file = {name.upper() for name in DotEnvSettingsSource(kind).env_vars}
    found = [UnknownName(name, nearest(name, known, 0.6)) for name in sorted(in_file - known)]
    for name in sorted({name.upper() for name in os.environ} - known - in_file):
        neighbour = nearest(name, known, 0.9)
        if neighbour is not None:
            found.append(UnknownName(name, neighbour))
    return found
