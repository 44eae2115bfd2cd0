"""What people write at a table, held to its lines and veils.

Of the lines nobody reads anything. What happens out of sight may be talked of, and acted towards; it is not
told. What only the model reads (guidance, a question that is not shared) may name both: what comes of it is
judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.core.tables import Table
from app.errors import LLMResponseError, ValidationError
from app.generation.service import GenerationService
from app.ports.moderation import Moderator

CROSSED = "has what this table keeps out of the story (its lines and veils)"


@dataclass(eq=False)
class TableTopics:
    """`word_moderator`: allows what has none of the given words."""

    _generation: GenerationService
    _word_moderator: Callable[[Sequence[str]], Moderator]

    def moderator(self, *topics: str) -> Moderator | None:
        """A moderator for the words of these topics; None where there are none."""
        return self._word_moderator(topics) if topics else None

    async def require_lines(self, table: Table, texts: Mapping[str, str]) -> None:
        """Texts of members, by the names of their fields. Raises `ValidationError`, which names the
        field."""
        moderator = self.moderator(*table.rules.lines)
        for field, text in texts.items():
            if moderator is not None and not await moderator.allows(text):
                raise _crossed(field)

    async def require_story(self, table: Table, texts: Mapping[str, str]) -> None:
        """Texts of the dungeon master, who tells the story, judged as those of the model are. Raises
        `ValidationError`, which names the field, and `LLMUnavailable` where nobody can judge."""
        moderator = self.moderator(*table.rules.lines, *table.rules.veils)
        for field, text in texts.items():
            try:
                await self._generation.judge(text, moderator)
            except LLMResponseError:
                raise _crossed(field) from None


def _crossed(field: str) -> ValidationError:
    return ValidationError(
        f"{field}: {CROSSED}", extra={"errors": [{"field": field, "message": CROSSED}]}
    )
