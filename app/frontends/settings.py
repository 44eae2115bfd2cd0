"""Settings of other people's front ends."""

from __future__ import annotations

from typing import Literal

from app.settings import SettingsGroup


class FrontEndSettings(SettingsGroup):
    """Settings of front ends, whose Stop button closes the connection."""

    dialect_stop: Literal["ignore", "cancel"] = "ignore"
