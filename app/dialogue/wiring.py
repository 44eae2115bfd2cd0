"""Conversations as a feature."""

from __future__ import annotations

from app.dialogue.api import OPERATIONS
from app.dialogue.npcs import Npcs
from app.dialogue.pipeline import ChatDependencies, ChatPipeline
from app.dialogue.service import DialogueService
from app.dialogue.settings import DialogueSettings
from app.dialogue.summary import Summariser
from app.feature import Feature, FeatureSpec, Gauge, Platform
from app.generation.answer_cache import AnswerCache
from app.turns.executor import TurnExecutor


def wire(platform: Platform) -> Feature:
    """Needs the turns feature."""
    settings = platform.settings_of(DialogueSettings)
    summariser = _summariser(platform, settings)
    cache = AnswerCache(platform.answers.kept("chat", settings.chat_cache_ttl_seconds))
    npcs = Npcs(platform.tables)
    pipeline = ChatPipeline(
        ChatDependencies(
            store=platform.store,
            conversations=platform.conversations,
            generation=platform.generation,
            settings=settings,
            model=platform.generation.model_names[0],
            observe=platform.observe,
            cache=cache,
            npcs=npcs,
            summariser=summariser,
        )
    )
    platform.services.get(TurnExecutor).add_pipeline("chat", pipeline)
    service = DialogueService(
        platform.conversations,
        platform.clock,
        settings,
        platform.generation.model_names,
        npcs,
    )
    return Feature(
        operations=OPERATIONS,
        services=(service,),
        background=() if summariser is None else (summariser.run,),
        housekeeping=(service.expire, cache.store.expire),
        gauges=(
            Gauge("chat_cache_entries", "Answers in the cache.", lambda: len(cache.store)),
            Gauge("chat_cache_hits", "Answers given from the cache.", lambda: cache.hits),
        ),
        health={"cache": platform.answers.available} if settings.chat_cache_ttl_seconds else {},
    )


def _summariser(platform: Platform, settings: DialogueSettings) -> Summariser | None:
    """The offline storyteller does not read, so it has nothing to sum up."""
    if settings.chat_summary == "extract" or platform.settings.offline:
        return None
    return Summariser(platform.conversations, platform.generation)


FEATURE = FeatureSpec("dialogue", wire, DialogueSettings)
