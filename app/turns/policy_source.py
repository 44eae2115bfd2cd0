"""The policy values in force, changeable while turns run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError as PydanticValidationError

from app.core.policy import PolicyConfig
from app.errors import ConfigValidationFailed
from app.requirements import cannot_be, fault

log = structlog.get_logger(__name__)


class PolicySource:
    """Starts from the settings; a file, where one is named, is read again when it changes.

    A file that cannot be used changes nothing: the values in force stay.
    """

    def __init__(self, config: PolicyConfig, file: Path | None, now: Callable[[], float]) -> None:
        self._config = config
        self._file = file
        self._now = now
        self._seen: float | None = None
        self.last_updated = now()

    def current(self) -> PolicyConfig:
        return self._config

    def replace(self, values: dict[str, Any] | None, actor: str) -> PolicyConfig:
        """Take new values, or those of the file when `values` is None.

        Names that are left out keep their value. Raises `ConfigValidationFailed`.
        """
        if values is None:
            values = self._from_file()
        try:
            config = PolicyConfig.model_validate({**self._config.model_dump(), **values})
        except PydanticValidationError as error:
            rows = error.errors(include_url=False, include_context=False, include_input=False)
            faults = "; ".join(f"{row['loc'][0]}: {fault(row, PolicyConfig)}" for row in rows)
            raise ConfigValidationFailed(faults) from None
        self._config, self.last_updated = config, self._now()
        log.info("policy_config_changed", actor=actor, **config.model_dump())
        return config

    def load(self) -> None:
        """Take the file over at the start. Raises `ConfigValidationFailed` where it cannot be used."""
        if self._file is not None:
            self.replace(None, actor="file")
            self._seen = self._file.stat().st_mtime

    async def apoll(self) -> None:
        """`poll` as housekeeping."""
        self.poll()

    def poll(self) -> None:
        """Take over a changed file; called now and then, never from a turn."""
        if self._file is None:
            return
        try:
            modified = self._file.stat().st_mtime
            if modified == self._seen:
                return
            self._seen = modified
            self.replace(None, actor="file")
        except (OSError, ConfigValidationFailed) as error:
            log.warning("policy_config_unusable", reason=str(error))

    def _from_file(self) -> dict[str, Any]:
        if self._file is None:
            raise ConfigValidationFailed("config: is required, as POLICY_CONFIG_FILE is not set")
        try:
            values = json.loads(self._file.read_text("utf-8"))
        except OSError as error:
            raise ConfigValidationFailed(f"POLICY_CONFIG_FILE {cannot_be('read', error)}") from None
        except ValueError:
            raise ConfigValidationFailed("POLICY_CONFIG_FILE cannot be read as JSON") from None
        if not isinstance(values, dict):
            raise ConfigValidationFailed("POLICY_CONFIG_FILE must hold a JSON object")
        return values
