"""Tokens where the provider reported none that can be believed."""

from __future__ import annotations

from typing import Final

from app.core.messages import Prompt
from app.core.results import Usage

CHARACTERS_PER_TOKEN: Final = 4
"""The usual rule of thumb for English."""


def believable_usage(reported: Usage | None, prompt: Prompt, text: str, model: str) -> Usage:
    """The usage that a provider reported for `text`; implausible numbers are estimated."""
    if reported is None:
        return estimated_usage(prompt, text, model)
    read, written = reported.input_tokens, reported.output_tokens
    if read and (written or not text):
        return reported
    guess = estimated_usage(prompt, text, reported.model)
    read = read or guess.input_tokens
    written = written or guess.output_tokens
    update = {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": max(reported.total_tokens, read + written),
        "estimated": True,
    }
    return reported.model_copy(update=update)


def estimated_usage(prompt: Prompt, text: str, model: str) -> Usage:
    """The estimated usage of a call that answered `text`."""
    read, written = prompt.length // CHARACTERS_PER_TOKEN, len(text) // CHARACTERS_PER_TOKEN
    return Usage(
        model=model,
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        estimated=True,
    )
