"""Lines of tables as PostgreSQL keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from app.adapters.store.postgres.rows import storable
from app.core.encoding import dump
from app.core.tables import NewLine


def said_values(said: NewLine) -> list[str | None]:
    """The columns of a line, as they can be kept."""
    data = None if said.data is None else dump(said.data)
    texts = (said.sender, said.content, said.message_type, said.user_id)
    more = (said.turn_id, said.recipient, data)
    return [*map(storable, texts), *(None if text is None else storable(text) for text in more)]


def lines_text(lines: Sequence[NewLine]) -> str:
    """The lines that `finish_4` adds to a table, as JSON."""
    return dump([said_values(said) for said in lines])
