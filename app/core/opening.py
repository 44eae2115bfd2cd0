"""The opening of a character's story, for which a player may wish but does nothing yet."""

from __future__ import annotations

from typing import Final

DEFAULT_ADVENTURE: Final = (
    "Begin a classic fantasy adventure: a quiet place with a secret, someone who needs help, "
    "and a road that leads away from safety."
)
"""What an opening is about where the player has wished for nothing."""

OPENING_ACTION: Final = "(The story begins.)"
"""Stands in journey-log, which requires an action, for an opening without a wish."""


def player_words(action: str) -> str:
    """The player's own words; empty where `action` is a placeholder.

    Older releases wrote `DEFAULT_ADVENTURE` as the action of such an opening.
    """
    return "" if action in (OPENING_ACTION, DEFAULT_ADVENTURE) else action
