"""The size of a prompt that fits a model's context, learnt from the answers of its server."""

from __future__ import annotations

from typing import Final

from app.core.messages import Prompt
from app.ports.model import FailureKind, ModelFailed

BYTES_PER_TOKEN: Final = 3.5
"""Rather few, so that a prompt that should fit does; UTF-8, so that it holds for any script."""
MOST_RESERVED: Final = 2_000
"""Tokens that are kept free for the answer, of which a small context gets a quarter."""
SHRUNK_BY: Final = 0.7
LEAST: Final = 5_000
"""Characters of a prompt below which a cut-off answer is not the prompt's fault."""


class ContextRoom:
    """`window`: tokens of prompt and answer together, where it is known."""

    def __init__(self, window: int | None = None) -> None:
        self._window = window
        self._bytes_per_token = BYTES_PER_TOKEN
        self._most: int | None = None  # characters of a prompt, where no window is known

    def know(self, window: int) -> None:
        """Take what the server says, where nothing else is known."""
        self._window = self._window or window

    def fitted(self, prompt: Prompt) -> Prompt:
        """The prompt, or as much of it as fits."""
        room = self._room(prompt)
        if room is None or prompt.length <= room or prompt.shorter is None:
            return prompt
        return prompt.shorter(room) or prompt

    def _room(self, prompt: Prompt) -> int | None:
        """Characters."""
        if self._window is None:
            return self._most
        tokens = self._window - min(MOST_RESERVED, self._window // 4)
        room = int(tokens * self._bytes_per_token * prompt.length / max(prompt.size, 1))
        return room if self._most is None else min(room, self._most)

    def learn(self, asked: Prompt, failure: ModelFailed) -> None:
        """From a prompt that left no room, or too little for its answer."""
        known, cut = self._window, failure.kind is FailureKind.CUT_OFF
        if cut and (asked.length <= LEAST or self._had_room(failure)):
            return
        if not cut and failure.window:
            self._window = failure.window
        if failure.prompt_tokens:
            found = asked.size / failure.prompt_tokens
            self._bytes_per_token = min(self._bytes_per_token, max(found, 0.5))
        room = self._room(asked)
        if known == self._window and (room is None or room >= asked.length * SHRUNK_BY):
            self._most = int(asked.length * SHRUNK_BY)

    def _had_room(self, failure: ModelFailed) -> bool:
        """Whether an answer was cut off by something else than the end of the context."""
        used = failure.usage.total_tokens if failure.usage else 0
        return bool(self._window and used and used < self._window * 0.9)
