"""The message hub of the settings."""

from __future__ import annotations

import ssl
from importlib import import_module

from app.adapters.hub.http import HttpHub
from app.hub_settings import HTTP, REDIS, HubSettings
from app.ports.clock import Clock
from app.ports.hub import MessageHub


def message_hub(settings: HubSettings, clock: Clock, tls: ssl.SSLContext) -> MessageHub | None:
    """None where none is named.

    A client takes a third of a second to be read: a service that has no use for it does not.
    """
    if settings.message_hub_url is None:
        return None
    url, topic = settings.message_hub_url, settings.message_hub_topic
    if url.startswith(HTTP):
        secret = settings.message_hub_secret
        return HttpHub(url, None if secret is None else secret.get_secret_value(), clock.now, tls)
    if url.startswith(REDIS):
        redis: MessageHub = import_module("app.adapters.hub.redis").RedisHub(url, topic)
        return redis
    nats: MessageHub = import_module("app.adapters.hub.nats").NatsHub(url, topic)
    return nats
