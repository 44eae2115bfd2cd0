"""Narrative that is judged before it is shown."""

from __future__ import annotations

from app.errors import LLMResponseError
from app.ports import Moderator


class HoldBack:
    """Keeps the newest `window` characters back, so that a passage is judged with what follows it.

    What was shown last is judged again with the new text: a blocked phrase may begin in it.
    """

    def __init__(self, moderator: Moderator, window: int) -> None:
        self._moderator = moderator
        self._window = window
        self._shown_tail = ""
        self._held = ""
        self._judged = 0  # characters at the start of `_held` that were allowed already

    async def push(self, text: str) -> str:
        """What may be shown by now. Raises `LLMResponseError` when the narrative is blocked."""
        self._held += text
        if len(self._held) - self._judged < self._window:
            return self._release()
        await self._judge()
        return self._release()

    async def flush(self) -> str:
        if len(self._held) > self._judged:
            await self._judge()
        rest, self._held, self._judged = self._held, "", 0
        return rest

    async def _judge(self) -> None:
        await self.judge(self._shown_tail + self._held)
        self._judged = len(self._held)

    async def judge(self, text: str) -> None:
        """Raises `LLMResponseError`."""
        if not await self._moderator.allows(text):
            raise LLMResponseError("The narrative was blocked; nothing was saved.")

    def _release(self) -> str:
        """Allowed text, but for the last `window` characters: they may begin a blocked phrase."""
        free = min(self._judged, len(self._held) - self._window)
        if free <= 0:
            return ""
        shown, self._held = self._held[:free], self._held[free:]
        self._judged -= free
        self._shown_tail = (self._shown_tail + shown)[-self._window :]
        return shown
