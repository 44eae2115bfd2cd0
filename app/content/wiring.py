"""Content as a feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.content.answering import ContentAnswers
from app.content.api import operations_of
from app.content.copies import Copies
from app.content.flights import Flights
from app.content.headroom import ContentHeadroom
from app.content.kind import Kind
from app.content.kinds import KINDS
from app.content.known import KnownAnswers
from app.content.pipeline import ContentDependencies, ContentPipeline
from app.content.service import ContentService
from app.content.settings import ContentSettings
from app.feature import Feature, FeatureSpec, Gauge, Platform
from app.generation.answer_cache import AnswerCache
from app.turns.executor import TurnExecutor
from app.turns.service import TurnService


def wire(platform: Platform, kinds: Sequence[Kind[Any, Any]] = KINDS) -> Feature:
    """Needs the turns feature."""
    settings = platform.settings_of(ContentSettings)
    models, turns = platform.generation.model_names, platform.services.get(TurnService)
    caches, flights = _caches(platform, settings), Flights(platform.answers, turns)
    longest = max(settings.content_cache_ttl_seconds, settings.theme_cache_ttl_seconds)
    # Of all caches, and of answers that newer ones have replaced.
    keys = platform.answers.kept("keys", longest, times=5)
    given = platform.answers.kept("copies", longest, times=5)
    contents, clock = platform.contents, platform.clock
    known = KnownAnswers(caches, keys, contents, shared=settings.content_cache_shared)
    pipeline = ContentPipeline(
        ContentDependencies(
            store=platform.store,
            contents=contents,
            generation=platform.generation,
            kinds={kind.name: kind for kind in kinds},
            known=known,
            model=models[0],
            observe=platform.observe,
        )
    )
    platform.services.get(TurnExecutor).add_pipeline("content", pipeline)
    service = ContentService(contents, clock, known.forget, settings.content_retention_days)
    copies = Copies(contents, given, clock)
    answers = ContentAnswers(turns, known, copies, flights, models)
    headroom = ContentHeadroom(turns, kinds)
    return Feature(
        operations=operations_of(kinds),
        services=(service, answers, headroom),
        headers=(headroom.headers,),
        housekeeping=(
            service.expire,
            flights.land,
            *(kept.expire for kept in (keys, given, *(one.store for one in _each(caches)))),
        ),
        gauges=_gauges(caches),
    )


def _caches(platform: Platform, settings: ContentSettings) -> dict[str, AnswerCache]:
    kept = platform.answers.kept
    texts = AnswerCache(kept("texts", settings.content_cache_ttl_seconds))
    themes = AnswerCache(kept("themes", settings.theme_cache_ttl_seconds))
    return {"text": texts, "validation": texts, "theme": themes}


def _each(caches: Mapping[str, AnswerCache]) -> list[AnswerCache]:
    return list(dict.fromkeys(caches.values()))


def _gauges(caches: Mapping[str, AnswerCache]) -> tuple[Gauge, ...]:
    found = _each(caches)

    def entries() -> int:
        return sum(len(cache.store) for cache in found)

    def hits() -> int:
        return sum(cache.hits for cache in found)

    def rate() -> float:
        return hits() / (hits() + sum(cache.misses for cache in found) or 1)

    return (
        Gauge("content_cache_entries", "Answers in the cache.", entries),
        Gauge("content_cache_hits", "Answers given from the cache.", hits),
        Gauge("content_cache_hit_rate", "Share of them.", rate),
    )


FEATURE = FeatureSpec("content", wire, ContentSettings)
