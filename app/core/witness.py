"""The part of a table's story that a person in it has witnessed.

A person of the story was there at a turn whose scene names them among those present, or whose words name
them: those of its narration, or of the actions that it answers. Nothing else is known to them: not what
players say beside the turns, no whisper, no note of the dungeon master, and no turn at which they were not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from app.core.tables import ANSWERS, NPCS, Line
from app.core.text import whole_word

MAX_TURNS: Final = 20
MAX_TEXT: Final = 600
"""Characters of an action or a narration, its end."""


def witnessed(lines: Sequence[Line], name: str) -> list[str]:
    """The newest turns that the person `name` has witnessed, of lines oldest first; oldest first."""
    named = re.compile(whole_word(name.strip()), re.IGNORECASE)
    found = [_texts(line) for line in lines if _was_there(line, named)]
    return [text for turn in found[-MAX_TURNS:] for text in turn]


def _was_there(line: Line, named: re.Pattern[str]) -> bool:
    said = line.said
    if said.turn_id is None or said.recipient is not None or said.message_type != "dm":
        return False
    present = (said.data or {}).get(NPCS, ())
    return any(named.search(text) for text in (*present, *_texts(line)))


def _texts(line: Line) -> list[str]:
    """The turn of a line: who did what, and what came of it."""
    answers = (line.said.data or {}).get(ANSWERS, ())
    deeds = [f"{player}: {action[-MAX_TEXT:]}" for player, action in answers if action]
    return [*deeds, line.said.content[-MAX_TEXT:]]
