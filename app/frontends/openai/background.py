"""Answers to what chat front ends ask by themselves; no model is asked, and no turn is played."""

from __future__ import annotations

import re
from typing import Final

from app.core.encoding import dump
from app.errors import NotATurn

TASK: Final = "### Task:"
HEAD: Final = 200  # characters of a prompt that say what is wanted
MAX_TITLE: Final = 60
MAX_READ: Final = 20_000  # characters in which the player's first words are looked for
_NO_TASK: Final = (
    "This model only answers the tasks that front ends ask by themselves, and does not stream them; "
    "choose the model of a character to play."
)
_WANTED: Final = re.compile(r"\b(title|follow[-_ ]?ups?|tags?)\b", re.IGNORECASE)
_PLAYER: Final = re.compile(r"USER:(.+?)(?=\n[ \t]{0,8}ASSISTANT:|</chat_history>|\Z)", re.DOTALL)


def answer_task(
    text: str, streamed: bool, action: str, options: tuple[str, ...], tasks_only: bool = False
) -> str:
    """The content of the completion. `action`, `options`: of the newest turn. `tasks_only`: the model
    is no character.

    Raises `NotATurn` for anything but a known task.
    """
    wanted = _WANTED.search(text[:HEAD]) if text.startswith(TASK) and not streamed else None
    if wanted is None:
        raise NotATurn(_NO_TASK if tasks_only else None)
    word = wanted[1].lower()
    if word.startswith("follow"):
        return dump({"follow_ups": list(options)})
    if word.startswith("tag"):
        return dump({"tags": []})
    return dump({"title": _title(text, action)})


def _title(text: str, action: str) -> str:
    """From the player's first words in the prompt: the turn itself is asked for later."""
    spoken = _PLAYER.search(text[:MAX_READ])
    words = " ".join((spoken[1] if spoken else action).split()) or "Dungeon Master"
    return words if len(words) <= MAX_TITLE else words[: MAX_TITLE - 1].rstrip() + "\u2026"
