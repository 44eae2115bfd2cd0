"""Content as a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.content.api import operations_of
from app.content.kind import Kind
from app.content.kinds import KINDS
from app.content.pipeline import ContentDependencies, ContentPipeline
from app.content.service import ContentService
from app.content.settings import ContentSettings
from app.feature import Feature, FeatureSpec, Platform
from app.turns.executor import TurnExecutor


def wire(platform: Platform, kinds: Sequence[Kind[Any, Any]] = KINDS) -> Feature:
    """Needs the turns feature."""
    settings = platform.settings_of(ContentSettings)
    generation = platform.generation
    pipeline = ContentPipeline(
        ContentDependencies(
            store=platform.store,
            contents=platform.contents,
            generation=generation,
            kinds={kind.name: kind for kind in kinds},
            observe=platform.observe,
        )
    )
    platform.services.get(TurnExecutor).add_pipeline("content", pipeline)
    service = ContentService(
        platform.contents,
        platform.clock,
        generation.model_names,
        settings.content_retention_days,
    )
    return Feature(
        operations=operations_of(kinds), services=(service,), housekeeping=(service.expire,)
    )


FEATURE = FeatureSpec("content", wire, ContentSettings)
