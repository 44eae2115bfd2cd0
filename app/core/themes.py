"""Themes of a text: reading it by its words, and what a model's analysis becomes.

The words decide where no model is there, and fill in for what a model leaves out. Confidences of categories
add up to one, scores lie between 0 and 1, and each element that was asked for has exactly one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from app.core.theme_reading import (
    adding_up,
    compatible,
    confidences,
    element_score,
    ranked,
    same_theme,
)
from app.core.theme_words import CATEGORIES
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


class ElementScore(Written):
    """The score of an element of a text."""

    element: Text = ""
    score: Score = None
    description: Text = ""
    suggestions: Texts = ()


class CategoryConfidence(Written):
    """The confidence of a category."""

    category: Text = ""
    confidence: Score = None


class Compatibility(Written):
    """The compatibility of two themes."""

    score: Score = None
    conflicts: Texts = ()
    enhancements: Texts = ()
    transition_steps: Texts = ()


# -- of a model -------------------------------------------------------------------------------------


def weighed(
    given: Iterable[CategoryConfidence], text: str, categories: Sequence[str]
) -> dict[str, float]:
    """A model's confidences as shares; those of the words where it gave none that count."""
    confidence_of = {one.category.casefold(): one.confidence or 0.0 for one in given}
    known = {name: confidence_of.get(name, 0.0) for name in categories}
    return adding_up(known) if any(known.values()) else confidences(text, categories)


def scored(
    given: Iterable[ElementScore], text: str, elements: Sequence[str]
) -> list[dict[str, Any]]:
    """Exactly the elements that were asked for, in their order."""
    scores = by_element(given)
    return [
        {"element": name, **_plain(scores[name])} if name in scores else _estimated(name, text)
        for name in elements
    ]


def by_element(given: Iterable[ElementScore]) -> dict[str, ElementScore]:
    """The elements with a score; the first of each counts."""
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
    """The analysis of a text by a model. `compatibility`: at most one counts."""

    analysis: Prose = ""
    categories: Annotated[tuple[CategoryConfidence, ...], Objects] = ()
    elements: Annotated[tuple[ElementScore, ...], Objects] = ()
    compatibility: Annotated[tuple[Compatibility, ...], Objects] = ()
    suggested_parameters: Annotated[tuple[Suggested, ...], Objects] = ()


class Themes(NamedTuple):
    """The request for an analysis of a text. `categories`: which may be the primary one."""

    content: str
    elements: Sequence[str]
    categories: Sequence[str]
    current: Any = None
    target: Any = None

    @property
    def compared(self) -> bool:
        return self.current is not None and self.target is not None


def by_words(asked: Themes) -> Analysis:
    """The analysis of a text without a model."""
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
    """With the parts of a second answer."""
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
        answer = next((one for one in given.compatibility if one.score is not None), None)
        found["compatibility"] = bounded(answer, asked.current, asked.target)
    return found


def _suggested(given: Analysis, first: str, others: Sequence[str]) -> dict[str, str]:
    suggested = given.suggested_parameters[0].model_dump() if given.suggested_parameters else {}
    known = {"genre": first, "tone": others[0] if others else first, "style": first}
    return {name: suggested.get(name) or value for name, value in known.items()}
