"""Quests as our own record keeps them: their rewards, their steps, and those that have ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

MAX_PAST_QUESTS: Final = 20
MAX_EARNED: Final = 100
_SHARED_WORDS: Final = 0.6
_WORD = re.compile(r"\w{3,}")


def _names(value: Any) -> list[str]:
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, str) and row]


def _amounts(value: Any) -> dict[str, int]:
    rows = value.items() if isinstance(value, dict) else ()
    return {str(name): amount for name, amount in rows if type(amount) is int}


def _amount(value: Any) -> int | None:
    return value if type(value) is int else None


class QuestRewards(BaseModel):
    """In journey-log's shape; whatever else it shows there is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    items: Annotated[list[str], BeforeValidator(_names)] = []
    currency: Annotated[dict[str, int], BeforeValidator(_amounts)] = {}
    experience: Annotated[int | None, BeforeValidator(_amount)] = None

    def plus(self, other: QuestRewards) -> QuestRewards:
        """Both together; of the items the newest `MAX_EARNED`."""
        names = {**self.currency, **other.currency}
        return QuestRewards(
            items=[*self.items, *other.items][-MAX_EARNED:],
            currency={n: self.currency.get(n, 0) + other.currency.get(n, 0) for n in names},
            experience=(self.experience or 0) + (other.experience or 0),
        )


class PastQuest(BaseModel):
    """A quest that has ended; journey-log shows only the active one."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    requirements: list[str] = []
    rewards: QuestRewards = QuestRewards()
    outcome: Literal["completed", "abandoned"]
    ended_at: float
    """Epoch seconds."""


def steps_done(requirements: Sequence[str], notes: Sequence[str]) -> list[bool]:
    """Which requirements of an active quest the progress notes fulfil.

    A note fulfils the first open requirement that it names; one that names none fulfils the first
    open one. A note that names none leaves the last requirement open: completing the quest fulfils
    it.
    """
    done = [False] * len(requirements)
    for note in notes:
        named = [n for n, text in enumerate(requirements) if _names_step(note, text)]
        rest = [n for n in range(len(requirements) - 1) if not done[n]]
        still_open = [n for n in named if not done[n]]
        if still_open:
            done[still_open[0]] = True
        elif rest and not named:
            done[rest[0]] = True
    return done


def _names_step(note: str, requirement: str) -> bool:
    wanted, found = _words(requirement), _words(note)
    return bool(wanted) and len(wanted & found) >= _SHARED_WORDS * len(wanted)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
