"""Side fields of an outcome from whatever a model wrote: repaired where it is clear, else dropped."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from app.core.lenient_json import NotJson, parse_json

MAX_INTEGER: Final = 2**53
"""Up to here every JSON reader keeps whole numbers exactly."""

_NOTHING = frozenset({"", "none", "null", "nil", "n/a", "na", "undefined", "unknown", "-"})
_TRUE = frozenset({"true", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "no", "n", "0", "off"})
_BLANKS = re.compile(r"[\s-]+")
_SEPARATORS = re.compile(r"[,;\n]")
_COUNT = r"(\d{1,15}|\d{1,3}(?:,\d{3}){1,4})"
_COINS = re.compile(
    rf"{_COUNT}\s+(gold|silver|copper|platinum|electrum)(?:\s+(?:coins?|pieces?))?", re.IGNORECASE
)
_EXPERIENCE = re.compile(rf"{_COUNT}\s+(?:xp|exp|experience)(?:\s+points?)?", re.IGNORECASE)
_ENDINGS = ("", "ed", "d", "ing", "s", "es")


def text(value: Any) -> str | None:
    """A text; numbers are written out, lists are joined, words for nothing are None."""
    match value:
        case str():
            return None if value.strip().lower() in _NOTHING else value
        case bool():
            return None
        case int() | float():
            return str(value) if math.isfinite(value) else None
        case list():
            return ", ".join(texts(value) or []) or None
        case dict():
            return _named(value)
        case _:
            return None


def texts(value: Any) -> list[str] | None:
    """A list of texts, also from one text with commas or line breaks."""
    if value is None:
        return None
    value = decoded(value)
    if isinstance(value, str):
        value = _SEPARATORS.split(value)
    if isinstance(value, dict):
        value = list(value.values()) if not _named(value) else [value]
    found = (text(item) for item in value) if isinstance(value, list) else ()
    return [item.strip() for item in found if item is not None]


def _named(value: dict[str, Any]) -> str | None:
    """The text that an object stands for."""
    for name in ("name", "title", "text", "value", "description"):
        if isinstance(value.get(name), str) and value[name].strip():
            return str(value[name])
    return None


def flag(value: Any) -> bool | None:
    """True or false, also as a word or a number."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def choice(value: Any, known: Sequence[str]) -> str | None:
    """One of the known words in another case, with other blanks or another ending; else None."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        return None
    if value in known:
        return value
    word = _BLANKS.sub("_", value.strip().lower())
    if word in known:
        return word
    stems = {word.removesuffix(ending) for ending in _ENDINGS if ending} - {""}
    stems |= {f"{stem}e" for stem in stems} | {
        stem[:-1] for stem in stems if stem[-2:-1] == stem[-1:]
    }
    found = [name for name in known if name in stems]
    return found[0] if len(found) == 1 else None


def section(value: Any, main: str) -> Any:
    """An object of intents; a bare word is the value of its field `main`, anything else is None."""
    value = decoded(value)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str) and main and text(value) is not None:
        return {main: value}
    known = isinstance(value, dict) or hasattr(value, "model_fields_set")
    return value if known else None


def intents(value: Any) -> Any:
    """All intents, also from objects in a list; what stands for none of them is an empty object."""
    value = decoded(value)
    if value is None or (isinstance(value, str) and text(value) is None):
        return {}
    rows = [decoded(row) for row in value] if isinstance(value, list) else [value]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in rows):
        return value
    return {name: part for row in reversed(rows) for name, part in row.items()}


def decoded(value: Any) -> Any:
    """The value of a text that is a JSON object or list: a model may encode a part twice."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return parse_json(value.lstrip()).value
    except NotJson:
        return value


def enemies(value: Any) -> list[Any] | None:
    """Enemies as objects, also from names, from one object or from objects by name."""
    value = decoded(value)
    if value is None:
        return None
    if isinstance(value, str):
        value = texts(value)
    if isinstance(value, dict):
        single = _named(value) is not None
        value = [value] if single else [_enemy(name, item) for name, item in value.items()]
    rows = value if isinstance(value, list) else ()
    found = [{"name": item} if isinstance(item, str) else item for item in rows]
    kept = [item for item in found if isinstance(item, dict) or hasattr(item, "model_fields_set")]
    return [item for item in kept if not isinstance(item, dict) or item.get("name") != ""]


def _enemy(name: str, item: Any) -> dict[str, Any]:
    return {"name": name, **item} if isinstance(item, dict) else {"name": name, "description": item}


def quest_details(value: Any) -> dict[str, Any] | None:
    """Details of a quest in the shape that journey-log takes."""
    value = decoded(value)
    if value is None:
        return None
    details = value if isinstance(value, dict) else {}
    rewards = details.get("rewards")
    if isinstance(rewards, str | list):
        rewards = _listed(texts(rewards) or [])
    rewards = rewards if isinstance(rewards, dict) else {}
    return {
        "requirements": texts(details.get("requirements")) or [],
        "rewards": {
            "items": texts(rewards.get("items")) or [],
            "currency": _currency(rewards.get("currency")),
            "experience": _amount(rewards.get("experience")),
        },
    }


def _listed(rewards: list[str]) -> dict[str, Any]:
    """Rewards from a list of texts: coins and experience by their words, everything else is an item."""
    items, currency, experience = list[str](), list[dict[str, Any]](), None
    for reward in rewards:
        if coins := _COINS.fullmatch(reward):
            currency.append({"name": coins[2].lower(), "amount": _count(coins[1])})
        elif points := _EXPERIENCE.fullmatch(reward):
            experience = (experience or 0) + _count(points[1])
        else:
            items.append(reward)
    return {"items": items, "currency": currency, "experience": experience}


def _count(digits: str) -> int:
    return int(digits.replace(",", ""))


def _amount(value: Any) -> int | None:
    """A whole number from 0 to 2^53."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= MAX_INTEGER else None


def _currency(value: Any) -> list[dict[str, Any]]:
    """`[{name, amount}]`, also from the `{name: amount}` form that older prompts asked for."""
    if isinstance(value, dict) and "amount" in value:
        value = [value]
    if isinstance(value, dict):
        value = [{"name": name, "amount": amount} for name, amount in value.items()]
    rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    return [
        {"name": row["name"].strip(), "amount": _amount(row.get("amount"))}
        for row in rows
        if isinstance(row.get("name"), str)
        and row["name"].strip()
        and _amount(row.get("amount")) is not None
    ]
