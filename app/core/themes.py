"""Themes of a text: reading it by its words, and what a model's analysis becomes.

The words decide where no model is there, and fill in for what a model leaves out. Confidences of categories
add up to one, scores lie between 0 and 1, and each element that was asked for has exactly one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

from app.core.theme_words import CATEGORIES, CATEGORY_DISTANCE, ELEMENTS, FAR
from app.core.written import Objects, Prose, Score, Text, Texts, Written

Category = Literal[
    "fantasy", "horror", "mystery", "adventure", "drama", "comedy", "heroic", "dark", "epic"
]
Element = Literal[
    "tone",
    "mood",
    "setting",
    "conflict",
    "symbolism",
    "character_focus",
    "story_structure",
    "world_building",
]
SECONDARY: Final = 0.12
"""Confidence from which a category is a secondary one."""
MOST_SECONDARY: Final = 3
FEW_WORDS: Final = 3
_WORD: Final = re.compile(r"[\w’']+")


class ElementScore(Written):
    """What an element of a text is worth."""

    element: Text = ""
    score: Score = None
    description: Text = ""
    suggestions: Texts = ()


class CategoryConfidence(Written):
    """How sure a category is."""

    category: Text = ""
    confidence: Score = None


class Compatibility(Written):
    """How two themes go together."""

    score: Score = None
    conflicts: Texts = ()
    enhancements: Texts = ()
    transition_steps: Texts = ()


# -- by words ---------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """Lower-cased words."""
    return _WORD.findall(text.casefold())


def confidences(text: str, categories: Sequence[str]) -> dict[str, float]:
    """Of the categories by the words of a text; all the same where none of its words says anything."""
    words = words_of(text)
    counts = {name: sum(word in CATEGORIES[name] for word in words) for name in categories}
    return adding_up(counts)


def element_score(text: str, element: str) -> float:
    """How much of an element a text has, by its words."""
    words = words_of(text)
    found = len({word for word in words if word in ELEMENTS[element]})
    return round(min(1.0, 0.2 + 0.8 * min(found, 6) / 6), 2)


def adding_up(weights: Mapping[str, float]) -> dict[str, float]:
    """Shares with four digits whose sum is exactly one; the largest takes what rounding leaves."""
    total = sum(weights.values())
    if not total:
        weights, total = dict.fromkeys(weights, 1.0), len(weights)
    shares = {name: round(weight / total, 4) for name, weight in weights.items()}
    largest = max(shares, key=lambda name: shares[name])
    rest = 1.0 - sum(share for name, share in shares.items() if name != largest)
    return {**shares, largest: round(rest, 4)}


def ranked(shares: Mapping[str, float]) -> tuple[str, list[str]]:
    """The primary category and the secondary ones."""
    first, *others = sorted(shares, key=lambda name: -shares[name])
    return first, [name for name in others if shares[name] >= SECONDARY][:MOST_SECONDARY]


# -- of a model -------------------------------------------------------------------------------------


def weighed(
    given: Iterable[CategoryConfidence], text: str, categories: Sequence[str]
) -> dict[str, float]:
    """A model's confidences as shares; those of the words where it gave none that count."""
    told = {one.category.casefold(): one.confidence or 0.0 for one in given}
    known = {name: told.get(name, 0.0) for name in categories}
    return adding_up(known) if any(known.values()) else confidences(text, categories)


def scored(
    given: Iterable[ElementScore], text: str, elements: Sequence[str]
) -> list[dict[str, Any]]:
    """Exactly the elements that were asked for, in their order."""
    told = by_element(given)
    return [
        {"element": name, **_plain(told[name])} if name in told else _estimated(name, text)
        for name in elements
    ]


def by_element(given: Iterable[ElementScore]) -> dict[str, ElementScore]:
    """Those that have a score; the first of each counts."""
    found: dict[str, ElementScore] = {}
    for one in given:
        if one.score is not None:
            found.setdefault("_".join(one.element.casefold().split()), one)
    return found


def _plain(one: ElementScore) -> dict[str, Any]:
    return one.model_dump(exclude={"element"})


def _estimated(element: str, text: str) -> dict[str, Any]:
    return {
        "element": element,
        "score": element_score(text, element),
        "description": "Estimated from the words of the text.",
        "suggestions": [],
    }


def kinship(text: str, other: str) -> float:
    """How much the words of a text have to do with those of another, from 0 to 1: by the categories that
    both stand for, and by words that both have. Without evidence on either side the text is let pass, unless it hardly says anything."""
    wanted = {name: share for name, share in named_shares(other).items() if share}
    words = words_of(text)
    told = any(word in known for word in words for known in CATEGORIES.values())
    if not wanted or not told:
        return 0.75 if len(words) >= FEW_WORDS else 0.3
    shares = confidences(text, list(CATEGORIES))
    met = sum(min(shares[name] * len(wanted), 1.0) for name in wanted) / len(wanted)
    return round(min(1.0, 0.2 + 0.8 * met), 2)


def named_shares(text: str) -> dict[str, float]:
    """How often a text names each category."""
    words = words_of(text.replace("_", " "))
    return {name: float(words.count(name)) for name in CATEGORIES}


# -- two themes -------------------------------------------------------------------------------------


def same_theme(current: Any, target: Any) -> bool:
    """Whether the two say the same, apart from case and blanks."""
    return bool(_normal(current) == _normal(target))


def _normal(theme: Any) -> Any:
    if isinstance(theme, str):
        return " ".join(theme.casefold().split())
    if isinstance(theme, dict):
        return {name: _normal(value) for name, value in theme.items() if value}
    return theme


def named_categories(theme: Any) -> list[str]:
    """The categories that a theme names."""
    text = " ".join(map(str, theme.values())) if isinstance(theme, dict) else str(theme)
    words = words_of(text)
    return [name for name in CATEGORIES if name in words]


def compatible(current: Any, target: Any) -> dict[str, Any]:
    """How two themes go together by the categories that they name."""
    if same_theme(current, target):
        return {"score": 1.0, "conflicts": [], "enhancements": [], "transition_steps": []}
    pairs = [
        (one, other) for one in named_categories(current) for other in named_categories(target)
    ]
    apart = {pair: _distance(*pair) for pair in pairs}
    mean = sum(apart.values()) / len(apart) if apart else FAR
    conflicts = [f"{one} against {other}" for (one, other), far in apart.items() if far >= 0.5]
    near = [
        f"both are {one}" if one == other else f"{one} carries over into {other}"
        for (one, other), far in apart.items()
        if far < 0.3
    ]
    return {
        "score": round(1 - mean, 2),
        "conflicts": conflicts,
        "enhancements": near,
        "transition_steps": _steps(current, target),
    }


def _distance(one: str, other: str) -> float:
    return 0.0 if one == other else CATEGORY_DISTANCE.get(frozenset({one, other}), FAR)


def _steps(current: Any, target: Any) -> list[str]:
    new = [name for name in named_categories(target) if name not in named_categories(current)]
    led = ", ".join(new) or "the target theme"
    return [
        f"Keep what the present scene has established and let one detail of {led} enter it.",
        f"Let the next conflict be decided by means of {led}.",
        f"Close the old thread, so that {led} sets the tone of the following scene.",
    ]


def bounded(given: Compatibility | None, current: Any, target: Any) -> dict[str, Any]:
    """A model's verdict on two themes; that of their categories where it gave none."""
    if given is None or given.score is None or same_theme(current, target):
        return compatible(current, target)
    known = compatible(current, target)
    return {
        **given.model_dump(),
        "transition_steps": given.transition_steps or known["transition_steps"],
    }


# -- the whole ------------------------------------------------------------------------------------------


class Suggested(Written):
    """Parameters for a text that goes on in this theme."""

    genre: Text = ""
    tone: Text = ""
    style: Text = ""


class Analysis(Written):
    """What a model writes about a text. `compatibility`: at most one counts."""

    analysis: Prose = ""
    categories: Annotated[tuple[CategoryConfidence, ...], Objects] = ()
    elements: Annotated[tuple[ElementScore, ...], Objects] = ()
    compatibility: Annotated[tuple[Compatibility, ...], Objects] = ()
    suggested_parameters: Annotated[tuple[Suggested, ...], Objects] = ()


class Themes(NamedTuple):
    """What was asked about a text. `categories`: which may be the primary one."""

    content: str
    elements: Sequence[str]
    categories: Sequence[str]
    current: Any = None
    target: Any = None

    @property
    def compared(self) -> bool:
        return self.current is not None and self.target is not None


def by_words(asked: Themes) -> Analysis:
    """What can be said of a text without a model."""
    first, others = ranked(confidences(asked.content, asked.categories))
    named = f", with something of {', '.join(others)}" if others else ""
    return Analysis(analysis=f"By its words the text is closest to {first}{named}.")


def missing(asked: Themes, given: Analysis) -> list[str]:
    """The elements that were asked for and have no score."""
    known = by_element(given.elements)
    return [name for name in asked.elements if name not in known]


def uncompared(asked: Themes, given: Analysis) -> bool:
    """Whether two themes were to be compared, and nobody has."""
    return (
        asked.compared
        and not same_theme(asked.current, asked.target)
        and not any(one.score is not None for one in given.compatibility)
    )


def added(given: Analysis, more: Analysis) -> Analysis:
    """With what a second answer brings."""
    return given.model_copy(
        update={
            "elements": (*given.elements, *more.elements),
            "compatibility": (*given.compatibility, *more.compatibility),
        }
    )


def analysed(asked: Themes, given: Analysis) -> dict[str, Any]:
    """The answer, complete whatever a model has left out."""
    shares = weighed(given.categories, asked.content, list(CATEGORIES))
    eligible = {name: shares[name] for name in asked.categories}
    first = max(eligible, key=lambda name: eligible[name])
    _, others = ranked({first: 2.0, **{k: v for k, v in shares.items() if k != first}})
    found = {
        "analysis": given.analysis,
        "primary_category": first,
        "secondary_categories": others,
        "category_confidence": shares[first],
        "confidences": shares,
        "elements": scored(given.elements, asked.content, asked.elements),
        "suggested_parameters": _suggested(given, first, others),
    }
    if asked.compared:
        told = next((one for one in given.compatibility if one.score is not None), None)
        found["compatibility"] = bounded(told, asked.current, asked.target)
    return found


def _suggested(given: Analysis, first: str, others: Sequence[str]) -> dict[str, str]:
    told = given.suggested_parameters[0].model_dump() if given.suggested_parameters else {}
    known = {"genre": first, "tone": others[0] if others else first, "style": first}
    return {name: told.get(name) or value for name, value in known.items()}
