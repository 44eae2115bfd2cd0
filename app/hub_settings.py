"""Where the message hub is."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as BadBase64
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from app.addresses import http_url
from app.settings_group import SettingsGroup

HTTP: Final = ("http://", "https://")
REDIS: Final = ("redis://", "rediss://")
NATS: Final = ("nats://", "tls://")
_PREFIX: Final = "whsec_"


class HubSettings(SettingsGroup):
    """Where events for other services go, beside `GET /hub/events`."""

    message_hub_url: str | None = Field(default=None, repr=False)
    message_hub_secret: SecretStr | None = None
    message_hub_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "dungeon-master"

    @field_validator("message_hub_url")
    @classmethod
    def _hub(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if value.startswith(HTTP):
            return http_url(value)
        hosts = value.split(",") if value.startswith(NATS) else [value]
        if not all(_is_hub(one) for one in hosts):
            raise ValueError(
                "must be http://HOST, redis://HOST:PORT/NUMBER, nats://HOST:PORT or one of these over TLS"
            )
        return value

    @field_validator("message_hub_secret")
    @classmethod
    def _signing_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not 24 <= len(_decoded(value.get_secret_value())) <= 64:
            raise ValueError(f"must be {_PREFIX} and 24 to 64 bytes in base64")
        return value

    @model_validator(mode="after")
    def _only_http_is_signed(self) -> HubSettings:
        if self.message_hub_secret is not None and not (self.message_hub_url or "").startswith(
            HTTP
        ):
            raise ValueError(
                "MESSAGE_HUB_SECRET: signs what goes to an HTTP hub; set MESSAGE_HUB_URL"
            )
        return self


def _is_hub(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return address.startswith((*REDIS, *NATS)) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _decoded(secret: str) -> bytes:
    """Empty for what is none."""
    try:
        return b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (BadBase64, ValueError):
        return b""
