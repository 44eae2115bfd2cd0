"""Whether an answer goes by the rolls that it was given.

An answer states a result in two ways: by `roll_results`, its own list of what the story goes by, and by
words (`a roll of 7`, `rolled a natural 20`), in English and with digits. It contradicts a roll where its
list differs from the results that were given, with or without a reported modifier, or where its words state
a number that no given roll has: neither as its result, with or without the modifier, nor on one of its
dice. An answer that states nothing contradicts nothing, and whether a result is good enough is for the
story to say, since no difficulty is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from app.core.intents import texts_of
from app.core.outcome import Intents
from app.core.table_outcome import TableOutcome
from app.core.table_prompt import Roll

_STATED: Final = re.compile(
    r"\b(?:roll(?:s|ed|ing)?|natural|nat)\b"
    r"(?:[\s:=]+(?:is|was|of|an?|the|only|just|comes|came|up|to|as|natural|nat))*[\s:=]+"
    r"(?P<number>\d{1,5})"
    r"(?=\s*(?:$|[.,;:!?)\]\"”’'—–]|(?:on|and|but|for|to|against|vs|in total|total|or)\b))",
    re.IGNORECASE,
)


def intent_conflicts(outcome: TableOutcome, rolls: Sequence[Roll]) -> list[str]:
    """Contradictions of intents and `roll_results` to the rolls, one sentence each."""
    if not rolls:
        return []
    given, stated = [roll.result for roll in rolls], list(outcome.roll_results)
    with_modifiers = [roll.result + roll.modifier for roll in rolls]
    agrees = len(stated) == len(given) and all(
        one in pair for one, *pair in zip(stated, given, with_modifiers, strict=True)
    )
    listed = [] if agrees or not stated else [f"roll_results: {stated} instead of {given}"]
    return [*listed, *_worded("intents", texts_of(outcome.intents or Intents()), rolls)]


def roll_conflicts(outcome: TableOutcome, rolls: Sequence[Roll]) -> list[str]:
    """Contradictions of the whole answer to the rolls, one sentence each."""
    if not rolls:
        return []
    prose = {"narrative": outcome.narrative, "player_response": outcome.player_response or ""}
    worded = [one for name, text in prose.items() for one in _worded(name, [text], rolls)]
    return [*intent_conflicts(outcome, rolls), *worded]


def _worded(name: str, texts: Iterator[str] | Sequence[str], rolls: Sequence[Roll]) -> list[str]:
    known = {number for roll in rolls for number in _numbers(roll)}
    stated = (int(found["number"]) for text in texts for found in _STATED.finditer(text))
    return [f"{name}: a roll of {one}" for one in dict.fromkeys(stated) if one not in known]


def _numbers(roll: Roll) -> Iterator[int]:
    """The numbers that may be named for the roll."""
    rolled = roll.rolled or {}
    modifier = roll.modifier or int(rolled.get("modifier", 0))
    yield from (roll.result, roll.result + modifier, roll.result - modifier)
    yield from (int(die["value"]) for die in rolled.get("dice", ()))
