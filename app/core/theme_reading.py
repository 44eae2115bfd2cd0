"""Reading the theme of a text by its words, and comparing two themes by the categories that they name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.core.theme_words import CATEGORIES, CATEGORY_DISTANCE, ELEMENTS, FAR

SECONDARY: Final = 0.12
"""Confidence from which a category is a secondary one."""
MOST_SECONDARY: Final = 3
FEW_WORDS: Final = 3
FEW_LETTERS: Final = 12
"""Counts, too, since some scripts have no blanks between words."""
_WORD: Final = re.compile(r"[\w’']+")


def words_of(text: str) -> list[str]:
    """Lower-cased words."""
    return _WORD.findall(text.casefold())


def says_little(text: str) -> bool:
    """Whether it has too few words for anybody to judge."""
    words = words_of(text)
    return len(words) < FEW_WORDS and sum(map(len, words)) < FEW_LETTERS


def confidences(text: str, categories: Sequence[str]) -> dict[str, float]:
    """Confidences of the categories by the words of a text; equal where no word is significant."""
    words = words_of(text)
    counts = {name: sum(word in CATEGORIES[name] for word in words) for name in categories}
    return adding_up(counts)


def element_score(text: str, element: str) -> float:
    """The share of an element in a text, by its words."""
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


def kinship(text: str, other: str) -> float:
    """The similarity of two texts, from 0 to 1, by the categories of their words. Without evidence on
    either side the text passes, unless it says hardly anything."""
    wanted = {name: share for name, share in named_shares(other).items() if share}
    words = words_of(text)
    significant = any(word in known for word in words for known in CATEGORIES.values())
    if not wanted or not significant:
        return 0.3 if says_little(text) else 0.75
    shares = confidences(text, list(CATEGORIES))
    met = sum(min(shares[name] * len(wanted), 1.0) for name in wanted) / len(wanted)
    return round(min(1.0, 0.2 + 0.8 * met), 2)


def named_shares(text: str) -> dict[str, float]:
    """The number of times that a text names each category."""
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
    """The compatibility of two themes by the categories that they name."""
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
