"""The adapters on Redis. They are imported only where `REDIS_URL` is set: importing the client takes
a third of a second, since it imports the OpenTelemetry SDK."""

from __future__ import annotations

from app.adapters.answers.redis import RedisAnswers
from app.adapters.event_log.redis import RedisLogChannel
from app.adapters.limits.redis import RedisLimiter
from app.bootstrap.carried import Carried
from app.ports.limits import Limiter


def on_redis(url: str, space: str, owner: str, otherwise: Limiter | None) -> Carried:
    """`otherwise`: limits while Redis cannot be used."""
    channel, answers = RedisLogChannel(url, space, owner), RedisAnswers(url, space)
    limiter = RedisLimiter(url, space, otherwise)
    closers = (limiter.aclose, answers.aclose)
    return Carried(channel, limiter, answers, closers, {"redis": channel.available})
