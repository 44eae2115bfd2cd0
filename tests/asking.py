"""Requests for content, and what a scripted model answers to them."""

from __future__ import annotations

import json
from typing import Any

from fakes.model import FakeModel, Script
from serving import Reply, Served, Stream

STREAM = {"Accept": "text/event-stream"}
TEXT = 'Born to the "Silverclaw" clan, she left at dawn.\n\nNobody saw her go. 🔥'
CAMPAIGN = {
    "campaign_theme": "Epic Fantasy",
    "party_level": 5,
    "party_size": 4,
    "campaign_type": "sandbox",
    "setting": "Forgotten Realms",
    "length": "long",
}
CHARACTER: dict[str, Any] = {
    "type": "backstory",
    "character_context": {
        "character_class": "Paladin",
        "character_race": "Dragonborn",
        "character_level": 5,
        "alignment": "Lawful Good",
        "background": "Noble",
    },
    "theme": {"genre": "high fantasy", "tone": "heroic", "style": "epic"},
    "model": {"name": "gpt-4-turbo", "temperature": 0.8},
}
STORY: dict[str, Any] = {
    "element_type": "plot",
    "context": CAMPAIGN,
    "parameters": {"focus": "political intrigue", "complexity": "high"},
}
NPC: dict[str, Any] = {
    "role": "quest_giver",
    "context": {**CAMPAIGN, "campaign_theme": "Dark Fantasy", "setting": "Ravenloft"},
    "traits": {"personality": "mysterious", "motivation": "revenge"},
}
LOCATION: dict[str, Any] = {
    "location_type": "tavern",
    "context": CAMPAIGN,
    "size": "small",
    "purpose": "rest",
    "occupants": ["the keeper"],
}
THEME: dict[str, Any] = {
    "content": "A heroic tale of adventure and discovery in a mystical land.",
    "elements": ["tone", "mood", "setting"],
    "category_filter": ["fantasy"],
    "current_theme": {"genre": "fantasy", "tone": "light", "style": "adventurous"},
    "target_theme": {"genre": "dark fantasy", "tone": "grim", "style": "gothic"},
}
VALIDATION: dict[str, Any] = {
    "content": "A lighthearted story about friendship.",
    "content_type": "quest",
    "rules": [
        {"category": "theme", "name": "tone_consistency", "is_required": True},
        {"category": "quality", "name": "content_quality", "is_required": True},
    ],
    "theme": {"genre": "comedy", "tone": "light", "style": "whimsical"},
}
NPC_WRITTEN = {
    "name": "Lord Viktor",
    "description": TEXT,
    "personality": "Brooding.",
    "motivations": ["Revenge", "Home"],
    "secrets": ["A vampire"],
    "relationships": [{"name": "Ina", "relation": "sister"}],
}
LOCATION_WRITTEN = {
    "name": "The Split Lantern",
    "description": TEXT,
    "points_of_interest": ["A bar"],
    "occupants": ["the keeper"],
    "secrets": [],
    "hooks": ["A stranger"],
}
THEME_WRITTEN: dict[str, Any] = {
    "analysis": "Light and hopeful.",
    "categories": [
        {"category": "fantasy", "confidence": 0.9},
        {"category": "adventure", "confidence": 0.6},
    ],
    "elements": [
        {"element": "tone", "score": 0.8, "description": "Light.", "suggestions": ["Darken it"]},
        {"element": "mood", "score": 0.7, "description": "Glad.", "suggestions": []},
        {"element": "setting", "score": 0.4, "description": "Vague.", "suggestions": ["Name it"]},
    ],
    "compatibility": [
        {
            "score": 0.6,
            "conflicts": ["light against grim"],
            "enhancements": ["both are fantasy"],
            "transition_steps": ["Let night fall."],
        }
    ],
    "suggested_parameters": [{"genre": "fantasy", "tone": "hopeful", "style": "epic"}],
}
VALIDATION_WRITTEN = {
    "analysis": "Warm, though thin.",
    "verdicts": [
        {"rule": 1, "score": 0.9, "issues": []},
        {
            "rule": 2,
            "score": 0.8,
            "issues": [
                {
                    "severity": "info",
                    "message": "Few details",
                    "location": "",
                    "suggestions": ["Smells"],
                }
            ],
        },
    ],
}
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "character": ("/text/character", CHARACTER, {"content": TEXT}),
    "story": ("/campaign/story", STORY, {"content": TEXT, "summary": "A tale of power."}),
    "npc": ("/campaign/npc", NPC, NPC_WRITTEN),
    "location": ("/campaign/location", LOCATION, LOCATION_WRITTEN),
    "theme": ("/theme/analyze", THEME, THEME_WRITTEN),
    "validation": ("/validation/content", VALIDATION, VALIDATION_WRITTEN),
}
"""By name: its path, an example request, and what a model writes for it."""


def scripted(model: FakeModel, written: Any, **how: Any) -> None:
    """Let the model answer once with `written`."""
    model.then(Script(text=json.dumps(written, ensure_ascii=False), **how))


def ask(service: Served, path: str, body: dict[str, Any], **headers: str) -> Reply:
    return service.call("POST", f"/api/v2{path}", body, **headers)


def stream(service: Served, path: str, body: dict[str, Any], **headers: str) -> Stream:
    return service.stream("POST", f"/api/v2{path}", body, **STREAM, **headers)
