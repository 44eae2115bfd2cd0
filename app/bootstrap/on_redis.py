"""What moves to Redis where one is named. Its client is only read then: it takes a third of a second, since
it reads the SDK of OpenTelemetry, too."""

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
