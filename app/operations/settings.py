"""Settings of what operators see."""

from __future__ import annotations

from app.settings import SettingsGroup


class OperationsSettings(SettingsGroup):
    """Endpoints for operators."""

    enable_metrics: bool = True
    enable_debug_endpoints: bool = False
    admin_endpoints_enabled: bool = False
    health_check_journey_log: bool = False
