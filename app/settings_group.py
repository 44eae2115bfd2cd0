"""How settings are read from the environment or `.env`, a group at a time.

Raises `BadSetting`, whose message is one line that names the variable at fault, never its value: it may be
a secret.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import Field, model_validator
from pydantic import ValidationError as PydanticValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.requirements import fault

Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=6)]


class BadSetting(Exception):
    """A value that stops the start."""


class SettingsGroup(BaseSettings):
    """Settings that belong together. A variable is named as its field, in capitals."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _blank_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`NAME=` in a compose file or `.env` means the default."""
        return {name: value for name, value in values.items() if value != ""}


Group = TypeVar("Group", bound=SettingsGroup)


def read_settings(kind: type[Group], **overrides: Any) -> Group:
    """The settings of a group or of several joined. Raises `BadSetting`."""
    try:
        return kind(**overrides)
    except PydanticValidationError as error:
        row = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in row["loc"]).upper()
        message = fault(row, kind)
        raise BadSetting(f"{name}: {message}" if name else message) from None
