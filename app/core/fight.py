"""Effects of a turn of combat on the enemies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from app.core.context import Combatant, Status
from app.core.outcome import Enemy

_WORD = re.compile(r"\w+")
_DOWN: Final = frozenset(
    (
        "dead",
        "down",
        "slain",
        "killed",
        "dying",
        "defeated",
        "beaten",
        "fallen",
        "unconscious",
        "destroyed",
        "gone",
        "fled",
        "surrendered",
    )
)
_WOUNDED: Final = frozenset(
    ("wounded", "hurt", "injured", "bleeding", "bloodied", "limping", "weakened", "staggered")
)
_NEGATIONS: Final = frozenset(("not", "never", "un", "barely", "isn"))
_ORDER: Final[tuple[Status, ...]] = ("Healthy", "Wounded", "Dead")


def after_exchange(enemies: Iterable[Combatant], named: Iterable[Enemy]) -> list[Combatant]:
    """The enemies of a fight after a turn whose outcome names some of them.

    An enemy is matched by its name and gets worse where its `threat` says that it is wounded or
    down. Nobody recovers; who is not named stays as they were.
    """
    threats = {(enemy.name or "").strip().casefold(): enemy.threat or "" for enemy in named}
    return [_worse(enemy, threats.get(enemy.name.strip().casefold(), "")) for enemy in enemies]


def _worse(enemy: Combatant, threat: str) -> Combatant:
    status = max(enemy.status, _status_in(threat), key=_ORDER.index)
    return enemy.model_copy(update={"status": status})


def _status_in(threat: str) -> Status:
    words = set(_WORD.findall(threat.casefold()))
    if words & _NEGATIONS:
        return "Healthy"
    if words & _DOWN:
        return "Dead"
    return "Wounded" if words & _WOUNDED else "Healthy"
