"""Content that a turn refers to: as much of it as the prompt has room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.core.encoding import encode

MAX_REFERENCES: Final = 8
MAX_REFERENCE: Final = 2_000
LEAST_REFERENCE: Final = 100
"""Characters of one; with fewer it says nothing."""
MAX_TOGETHER: Final = 8_000
CHARACTERS_PER_TOKEN: Final = 3
SHARE: Final = 4
"""At most one part in so many of a model's context is for references."""
_LEFT_OUT: Final = frozenset({"content_id", "metadata", "parent_content_id"})


class Reference(NamedTuple):
    """`text`: one line of JSON, so that nothing in it can pass for a heading."""

    content_id: str
    text: str


def reference_of(content_id: str, kind: str, body: Mapping[str, Any]) -> Reference:
    """A reference to whole content."""
    fields = {name: value for name, value in body.items() if name not in _LEFT_OUT and value}
    return Reference(content_id, encode({"kind": kind, **fields}).decode())


def fitted(found: Iterable[Reference], context_tokens: int | None) -> Sequence[Reference]:
    """The first ones, each cut, as far as there is room. `context_tokens`: of the model, if known."""
    room = MAX_TOGETHER
    if context_tokens is not None:
        room = min(room, context_tokens * CHARACTERS_PER_TOKEN // SHARE)
    kept: list[Reference] = []
    for one in found:
        text = one.text[: min(room, MAX_REFERENCE)]
        if len(text) < min(LEAST_REFERENCE, len(one.text)):
            break
        kept.append(Reference(one.content_id, text))
        room -= len(text)
    return kept


def reference_lines(references: Sequence[Reference], characters: int) -> list[str]:
    """One line each, of at most so many characters."""
    return [one.text[:characters] for one in references] if characters else []
