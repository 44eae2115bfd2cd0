"""Settings of turns: policy, limits, queueing, recording."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from app.core.money import Amount, micros_of
from app.settings import Probability, SettingsGroup
from app.settings_group import Dollars


class TurnSettings(SettingsGroup):
    """0 switches a limit off where it is allowed."""

    quest_trigger_prob: Probability = 0.3
    quest_cooldown_turns: Annotated[int, Field(ge=0, le=10_000)] = 5
    poi_trigger_prob: Probability = 0.2
    poi_cooldown_turns: Annotated[int, Field(ge=0, le=10_000)] = 3
    memory_spark_probability: Probability = 0.2
    quest_poi_reference_probability: Probability = 0.1
    poi_memory_spark_enabled: bool = False
    policy_config_file: Path | None = None

    turn_conflict: Literal["reject", "queue"] = "reject"
    turn_queue_limit: Annotated[int, Field(ge=1, le=100)] = 4
    commit_timeout_seconds: Annotated[float, Field(ge=1, le=86_400)] = 600
    max_narrative_bytes: Annotated[int, Field(ge=100, le=1_000_000)] = 50_000
    max_loop_lag_seconds: Annotated[float, Field(ge=0.005, le=60)] = 0.5
    turn_log_sampling_rate: Probability = 1

    max_turns_per_character_per_second: Annotated[float, Field(ge=0.1, le=100)] = 2
    limit_user_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 1_000
    limit_address_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    limit_global_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 10_000
    limit_models_per_minute: Annotated[dict[str, int], NoDecode] = Field(
        default={"gpt-4-turbo": 200, "gpt-3.5-turbo": 500}
    )
    limit_text_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    limit_theme_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    limit_validation_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    tokens_per_user_per_day: Annotated[int, Field(ge=0)] = 0
    dollars_per_user_per_day: Dollars = Decimal(0)

    @property
    def budget(self) -> Amount:
        """The budget per user and day; 0 means no limit."""
        return Amount(self.tokens_per_user_per_day, micros_of(self.dollars_per_user_per_day))

    @field_validator("limit_models_per_minute", mode="before")
    @classmethod
    def _named_limits(cls, value: Any) -> Any:
        """`model=limit,model=limit`"""
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(name.strip() and limit.strip().isdecimal() for name, _, limit in pairs):
            raise ValueError("must be model=limit,model=limit")
        return {name.strip(): int(limit) for name, _, limit in pairs}
