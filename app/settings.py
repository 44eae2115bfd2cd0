"""Settings in groups, read from the environment or `.env`, each with its default and bounds.

The groups here are shared; a feature has one of its own. `app.bootstrap.settings` joins them. Raises
`BadSetting`, whose message is one line that names the variable at fault, never its value: it may be a
secret.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from app import addresses
from app.addresses import http_url
from app.core.money import read_prices
from app.hub_settings import HubSettings
from app.settings_group import BadSetting, SettingsGroup, read_settings
from app.store_settings import StoreSettings

__all__ = [
    "BadSetting",
    "JourneyLogSettings",
    "LogSettings",
    "ModelSettings",
    "ServerSettings",
    "SettingsGroup",
    "SharedSettings",
    "StoreSettings",
    "read_settings",
]

Probability = Annotated[float, Field(ge=0, le=1)]
Retries = Annotated[int, Field(ge=0, le=10)]
DelayBase = Annotated[float, Field(ge=0.1, le=10)]
DelayMax = Annotated[float, Field(ge=1, le=300)]


def _comma_separated(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

DEFAULT_MODEL = "gpt-5.1"
HEADER = r"^[A-Za-z0-9_.-]{1,200}$"
_VISIBLE = re.compile(r"[!-~]+")


class ServerSettings(SettingsGroup):
    """Where the service listens, and who may call."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    auth_mode: Literal["off", "jwt"] = "off"
    allow_anonymous: bool = False
    allowed_hosts: Names = LOOPBACK_NAMES
    allowed_origins: Names = ()
    forwarded_allow_ips: Names = ("127.0.0.1", "::1")
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    max_streams_per_client: Annotated[int, Field(ge=1, le=100_000)] = 20
    shutdown_grace_seconds: Annotated[float, Field(ge=0, le=3_600)] = 30

    jwt_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    jwt_jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30

    @field_validator("host")
    @classmethod
    def _without_port(cls, value: str) -> str:
        return addresses.listen_host(value)

    @field_validator("allowed_hosts")
    @classmethod
    def _as_clients_name_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return addresses.hosts(value)

    @field_validator("allowed_origins")
    @classmethod
    def _as_browsers_send_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return addresses.origins(value)

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _addresses_of_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                if part != "*":
                    ipaddress.ip_network(part)
            except ValueError:
                raise ValueError(
                    "must be addresses or networks, separated by commas, or *"
                ) from None
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _keys_url(cls, value: str | None) -> str | None:
        return http_url(value)

    @model_validator(mode="after")
    def _not_open_to_the_network(self) -> ServerSettings:
        if self.auth_mode == "off" and not self.allow_anonymous and not self.on_loopback:
            raise ValueError(
                "HOST: AUTH_MODE=off would let anyone on the network play; "
                "listen on loopback or set ALLOW_ANONYMOUS=true"
            )
        return self

    @model_validator(mode="after")
    def _keys_for_tokens(self) -> ServerSettings:
        if self.auth_mode == "jwt" and (self.jwt_secret is None) == (self.jwt_jwks_url is None):
            raise ValueError("AUTH_MODE: jwt needs exactly one of JWT_SECRET and JWT_JWKS_URL")
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class JourneyLogSettings(SettingsGroup):
    """The journey-log service."""

    journey_log_base_url: str | None = None
    journey_log_timeout: Annotated[float, Field(ge=1, le=300)] = 30
    journey_log_settle_seconds: Annotated[float, Field(ge=0.1, le=3600)] | None = None
    write_deadline_seconds: Annotated[float, Field(ge=1, le=86_400)] = 900
    journey_log_recent_n: Annotated[int, Field(ge=1, le=100)] = 20
    journey_log_max_retries: Retries = 3
    journey_log_retry_delay_base: DelayBase = 0.5
    journey_log_retry_delay_max: DelayMax = 10
    poi_memory_spark_count: Annotated[int, Field(ge=1, le=20)] = 3

    @field_validator("journey_log_base_url")
    @classmethod
    def _journey_log_url(cls, value: str | None) -> str | None:
        return http_url(value)

    @property
    def settle_seconds(self) -> float:
        """How long an unanswered write may still land: longer than the client waits for it."""
        return self.journey_log_settle_seconds or self.journey_log_timeout + 5


class ModelSettings(SettingsGroup):
    """Language models, and what players may read of what they write."""

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_org_id: Annotated[str, Field(pattern=HEADER)] | None = None
    openai_project_id: Annotated[str, Field(pattern=HEADER)] | None = None
    openai_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    openai_fallback_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    openai_further_models: Names = ()
    offline_fallback: bool = False
    breaker_failures: Annotated[int, Field(ge=1, le=10_000)] = 10
    breaker_window_seconds: Annotated[float, Field(ge=1, le=3600)] = 30
    openai_timeout: Annotated[float, Field(ge=1, le=600)] = 60
    llm_idle_timeout: Annotated[float, Field(ge=1, le=600)] = 30
    openai_stub_mode: bool = False
    llm_api: Literal["auto", "responses", "chat"] = "auto"
    llm_probe: Literal["auto", "on", "off"] = "auto"
    llm_streaming: bool = True
    llm_max_retries: Retries = 3
    llm_retry_delay_base: DelayBase = 1
    llm_retry_delay_max: DelayMax = 30
    llm_phase_seconds: Annotated[float, Field(ge=1, le=3600)] = 600
    llm_context_tokens: Annotated[int, Field(ge=1_000, le=100_000_000)] | None = None
    llm_max_output_tokens: Annotated[int, Field(ge=100, le=200_000)] = 8_000
    max_concurrent_llm_calls: Annotated[int, Field(ge=1, le=10_000)] = 200
    llm_slot_wait_seconds: Annotated[float, Field(ge=0, le=300)] = 10
    storyteller_tokens_per_second: Annotated[float, Field(ge=0, le=10_000)] = 40
    rng_seed: str | None = None
    model_prices: str | None = None

    moderation: Literal["off", "words", "openai"] = "off"
    moderation_words_file: Path | None = None
    moderation_model: Annotated[str, Field(min_length=1)] = "omni-moderation-latest"
    moderation_fail_open: bool = False
    moderation_hold_characters: Annotated[int, Field(ge=1, le=5_000)] = 200

    @field_validator("model_prices")
    @classmethod
    def _readable_prices(cls, value: str | None) -> str | None:
        read_prices(value or "")
        return value

    @field_validator("openai_base_url")
    @classmethod
    def _model_url(cls, value: str | None) -> str | None:
        if value is not None and not _VISIBLE.fullmatch(value):
            raise ValueError("must hold no blank and no letter beyond ASCII")
        if value is not None and "%20" in value:
            raise ValueError("must hold no blank (%20)")
        url = http_url(value)
        for path in ("/chat/completions", "/responses", "/completions", "/models"):
            if url is not None and url.endswith(path):
                raise ValueError(f"must be the address before {path}, mostly ending in /v1")
        return url

    @field_validator("openai_api_key")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _VISIBLE.fullmatch(value.get_secret_value()):
            raise ValueError("must be one line without blanks and letters beyond ASCII")
        return value

    @field_validator("openai_model", "openai_fallback_model")
    @classmethod
    def _one_name(cls, value: str | None) -> str | None:
        if value is not None and (value != value.strip() or not value.isprintable()):
            raise ValueError("must be one line without blanks around it")
        return value

    @model_validator(mode="after")
    def _who_moderates(self) -> ModelSettings:
        if self.moderation == "words" and self.moderation_words_file is None:
            raise ValueError("MODERATION_WORDS_FILE: is required with MODERATION=words")
        if self.moderation == "openai" and self.openai_api_key is None:
            raise ValueError("OPENAI_API_KEY: is required with MODERATION=openai")
        return self

    @property
    def model_name(self) -> str:
        """The name of the generating model."""
        return self.openai_model or DEFAULT_MODEL

    @property
    def offline(self) -> bool:
        """Whether the offline storyteller is the model."""
        return self.openai_stub_mode or not (self.openai_api_key or self.openai_base_url)

    @property
    def resolved_llm_api(self) -> Literal["responses", "chat"]:
        """The API that is used where `auto` is set."""
        if self.llm_api != "auto":
            return self.llm_api
        host = urlsplit(self.openai_base_url or "").hostname
        return "responses" if host in (None, "api.openai.com") else "chat"

    @property
    def model_address(self) -> str:
        """The base URL of the model server."""
        return self.openai_base_url or "https://api.openai.com/v1"

    @property
    def model_is_private(self) -> bool:
        """Whether the model server is of this machine or network, so that asking it costs no money."""
        return addresses.is_private(urlsplit(self.model_address).hostname or "")

    @property
    def probes_model(self) -> bool:
        """Whether the model server is asked at the start: by `auto`, where that costs no money."""
        if self.offline or self.llm_probe == "off":
            return False
        return self.llm_probe == "on" or self.model_is_private


class LogSettings(SettingsGroup):
    """Log level, form and service name."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_json_format: bool = False
    service_name: Annotated[str, Field(min_length=1, max_length=100)] = "dungeon-master"
    environment: Annotated[str, Field(min_length=1, max_length=100)] = "development"
    otel_exporter_otlp_endpoint: str | None = None
    otel_exporter_otlp_timeout: Annotated[float, Field(ge=0.1, le=300)] = 3

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _collector_url(cls, value: str | None) -> str | None:
        return http_url(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class SharedSettings(
    ServerSettings, JourneyLogSettings, ModelSettings, StoreSettings, LogSettings, HubSettings
):
    """All groups that are no feature's own."""
