"""Tokens where the provider reported none."""

from __future__ import annotations

from typing import Final

from app.core.messages import Prompt
from app.core.results import Usage

CHARACTERS_PER_TOKEN: Final = 4
"""The usual rule of thumb for English."""


def estimated_usage(prompt: Prompt, text: str, model: str) -> Usage:
    """What a call probably cost that answered `text`."""
    read, written = prompt.length // CHARACTERS_PER_TOKEN, len(text) // CHARACTERS_PER_TOKEN
    return Usage(
        model=model,
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        estimated=True,
    )
