"""Content without a model: texts from the grammar, themes and verdicts from the words of the text.

The same request and seed give the same answer.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from app.core import rules, theme_reading, themes
from app.core.theme_words import CATEGORIES
from app.standins.storyteller.grammar import Narrator
from app.standins.storyteller.library import library
from app.standins.storyteller.text import cleaned, with_article, within

Json = dict[str, Any]
MAX_SLOT: Final = 60
_TEXTS: Final = {
    "backstory": "content.backstory",
    "personality": "content.personality",
    "combat": "content.combat",
    "equipment": "content.equipment",
    "plot": "content.plot",
    "location": "content.location",
    "quest": "content.quest",
    "dialogue": "content.dialogue",
    "event": "content.event",
    "story": "content.story",
    "scene": "content.scene",
    "description": "content.description",
}


def written(kind: str, facts: Json, parent: str | None, seed: str) -> Json | None:
    """The document that a model would write; None for a kind that is not known here."""
    write = _KINDS.get(kind)
    if write is None:
        return None
    key = json.dumps([seed, kind, facts, parent], sort_keys=True)
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
    return write(facts, random.Random(int.from_bytes(digest, "big")))


def _lines(table: str) -> Sequence[str]:
    return library().phrases[table]


def _text(facts: Json, rng: random.Random, table: str) -> str:
    """Two paragraphs and a last sentence."""
    narrator = Narrator(rng, _slots(facts, rng))
    templates = _lines(table)
    chosen = sorted(rng.sample(range(len(templates)), 2))
    said = [narrator.say([templates[number]]) for number in chosen]
    return "\n\n".join([*said, narrator.say(_lines("content.closing"))])


def _slots(facts: Json, rng: random.Random) -> dict[str, str]:
    person = facts.get("character_context") or {}
    campaign = facts.get("campaign_context") or facts.get("context") or {}
    theme = facts.get("theme") or {}
    people = _slot(person, "character_race", "stranger").lower()
    trade = _slot(person, "character_class", "wanderer").lower()
    who = f"the {people} {trade}" if person else "the stranger"
    return {
        "who": who,
        "people": people,
        "trade": trade,
        "origin": with_article(_slot(person, "background", "stranger").lower()),
        "place": within(_slot(campaign, "setting", rng.choice(_lines("content.places")))),
        "genre": _slot(theme, "genre", _slot(campaign, "campaign_theme", "tale")).lower(),
        "tone": _slot(theme, "tone", rng.choice(("quiet", "wry", "sober"))).lower(),
    }


def _slot(facts: Mapping[str, Any], name: str, otherwise: str) -> str:
    value = facts.get(name)
    return (cleaned(value, MAX_SLOT) if isinstance(value, str) else "") or otherwise


def _character(facts: Json, rng: random.Random) -> Json:
    return {"content": _text(facts, rng, _TEXTS[facts["type"]])}


def _story(facts: Json, rng: random.Random) -> Json:
    text = _text(facts, rng, _TEXTS[facts["element_type"]])
    return {"content": text, "summary": rng.choice(_lines("content.gists"))}


def _npc(facts: Json, rng: random.Random) -> Json:
    name, place = rng.choice(_lines("content.names")), _slots(facts, rng)["place"]
    looks = rng.sample(_lines("content.looks"), 2)
    first = name.split()[0]
    text = f"{name} of {place} {looks[0]}. {first} also {looks[1]}."
    related = facts.get("relationships") or {}
    return {
        "name": name,
        "description": text,
        "personality": rng.choice(_lines("content.manners")),
        "motivations": rng.sample(_lines("content.motives"), 2),
        "secrets": rng.sample(_lines("content.secrets"), 2),
        "relationships": [{"name": k, "relation": str(v)} for k, v in related.items()],
    }


def _location(facts: Json, rng: random.Random) -> Json:
    name = rng.choice(_lines("content.places"))
    facts = {**facts, "context": {**(facts.get("context") or {}), "setting": name}}
    given = [cleaned(one, 200) for one in facts.get("occupants") or ()]
    return {
        "name": name,
        "description": _text(facts, rng, "content.description"),
        "points_of_interest": rng.sample(_lines("content.points"), 3),
        "occupants": given or rng.sample(_lines("content.dwellers"), 2),
        "secrets": rng.sample(_lines("content.buried"), 1),
        "hooks": rng.sample(_lines("content.hooks"), 2),
    }


def _theme(facts: Json, rng: random.Random) -> Json:
    text, wanted = facts["content"], facts["elements"]
    current, target = facts.get("current_theme"), facts.get("target_theme")
    shares = theme_reading.confidences(text, list(CATEGORIES))
    categories = facts.get("category_filter") or list(CATEGORIES)
    asked = themes.Themes(text, wanted, categories, current, target)
    return {
        "analysis": themes.by_words(asked).analysis,
        "categories": [{"category": k, "confidence": v} for k, v in shares.items() if v],
        "elements": [_element(text, name, rng) for name in wanted],
        "compatibility": [theme_reading.compatible(current, target)] if asked.compared else [],
        "suggested_parameters": [],
    }


def _element(text: str, name: str, rng: random.Random) -> Json:
    return {
        "element": name,
        "score": theme_reading.element_score(text, name),
        "description": rng.choice(_lines("content.remarks")),
        "suggestions": rng.sample(_lines("content.advice"), 1),
    }


def _validation(facts: Json, rng: random.Random) -> Json:
    text = facts["content"]
    verdicts = [_verdict(text, rule, facts, rng) for rule in facts["rules"]]
    return {
        "analysis": f"By its words alone, {len(verdicts)} rules were judged.",
        "verdicts": verdicts,
    }


def _verdict(text: str, rule: Json, facts: Json, rng: random.Random) -> Json:
    """By how much the text's words have to do with the rule, its theme and its context."""
    score = theme_reading.kinship(text, _said(rule, facts))
    issue = {
        "severity": "warning",
        "message": rng.choice(_lines("content.faults")),
        "location": "",
        "suggestions": rng.sample(_lines("content.advice"), 1),
    }
    return {
        "rule": rule["rule"],
        "score": score,
        "issues": [] if score >= rules.THRESHOLD else [issue],
    }


def _said(rule: Json, facts: Json) -> str:
    parts = [rule["name"], rule.get("description"), rule.get("parameters")]
    if rule["category"] in ("theme", "consistency"):
        parts += [facts.get("theme"), facts.get("context")]
    return json.dumps([part for part in parts if part], ensure_ascii=False)


_KINDS: Final[Mapping[str, Callable[[Json, random.Random], Json]]] = {
    "character": _character,
    "story": _story,
    "npc": _npc,
    "location": _location,
    "theme": _theme,
    "validation": _validation,
}
