"""Field types that requests, answers and events share."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from app.errors import DungeonMasterError, InvalidLimit

Uuid: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Time: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC, as `app.core.events.stamp` writes it."""

MAX_KEY: Final = 255
MAX_LIMIT: Final = 100  # of one page, unless it says otherwise

IdempotencyKey: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_KEY)]


def plain_uuid(value: Any) -> str:
    """The canonical spelling of a UUID in any spelling. Raises `ValueError`."""
    try:
        return str(uuid.UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise ValueError("must be a UUID") from None


CharacterId: TypeAlias = Annotated[
    str, BeforeValidator(plain_uuid), WithJsonSchema({"type": "string", "format": "uuid"})
]


def limit_from(text: str, most: int = MAX_LIMIT) -> int:
    """The `limit` of a query. Raises `InvalidLimit`."""
    error = InvalidLimit(f"limit must be a whole number from 1 to {most}.")
    return whole_number(text, most, error)


def whole_number(text: str, most: int, error: DungeonMasterError) -> int:
    """From 1 to `most`, below 100,000. Raises `error` for anything else."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= number <= most:
        raise error
    return number
