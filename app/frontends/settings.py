"""Settings of other people's front ends."""

from __future__ import annotations

from typing import Literal

from app.settings import SettingsGroup


class FrontEndSettings(SettingsGroup):
    """What their Stop does, which is to close the connection."""

    dialect_stop: Literal["ignore", "cancel"] = "ignore"
