"""Results of an ended turn: summary, timing, usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Subsystem = Literal["quest", "combat", "poi", "narrative"]


class Change(BaseModel):
    """One subsystem's result. `success` is null where nothing was to be written."""

    action: str = "none"
    success: bool | None = None
    error: str | None = None


class SubsystemSummary(BaseModel):
    quest_change: Change = Field(default_factory=Change)
    combat_change: Change = Field(default_factory=Change)
    poi_change: Change = Field(default_factory=Change)
    narrative_persisted: bool = False
    narrative_error: str | None = None
    dry_run: bool = False

    def with_write(self, subsystem: Subsystem, change: Change) -> SubsystemSummary:
        if subsystem == "narrative":
            error = self.narrative_error or change.error  # of any of the characters
            persisted = bool(change.success) and self.narrative_error is None
            update = {"narrative_persisted": persisted, "narrative_error": error}
            return self.model_copy(update=update)
        return self.model_copy(update={f"{subsystem}_change": change})


class Phases(BaseModel):
    """Milliseconds spent in each stage."""

    context_ms: float = 0
    llm_ms: float = 0
    validation_ms: float = 0
    writes_ms: float = 0


class Timing(BaseModel):
    """Milliseconds; `total_tokens` counts the text deltas received from the model."""

    total_duration_ms: float = 0
    time_to_first_token_ms: float | None = None
    total_tokens: int = 0
    phases: Phases = Field(default_factory=Phases)


def _optional(*names: str) -> Callable[[dict[str, Any]], None]:
    """Mark fields that may be missing in what is written."""

    def change(schema: dict[str, Any]) -> None:
        required = schema.get("required", [])
        schema["required"] = [name for name in required if name not in names]

    return change


class Usage(BaseModel):
    """Tokens of the model call; `estimated` where the provider reported none that can be believed.

    `cached_tokens` and `reasoning_tokens` are left out where nobody knows them, `cost_micros` (millionths
    of a US dollar) where the model has no known price. Of a turn it is over all of its model calls.
    """

    model_config = ConfigDict(
        json_schema_extra=_optional("cached_tokens", "reasoning_tokens", "cost_micros")
    )

    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int | None = Field(None, exclude_if=lambda value: value is None)
    reasoning_tokens: int | None = Field(None, exclude_if=lambda value: value is None)
    estimated: bool = False
    cost_micros: int | None = Field(None, exclude_if=lambda value: value is None)


class Validation(BaseModel):
    """`roll_conflicts`: at a table, how the answer contradicts the rolls that it was given; left out
    where it does not."""

    model_config = ConfigDict(json_schema_extra=_optional("roll_conflicts"))

    schema_valid: bool = True
    intents_normalized: bool = False
    roll_conflicts: tuple[str, ...] = Field((), exclude_if=lambda value: not value)
