"""Answers of a model outside turns: one text with fields, as one JSON document.

The text is shown while it forms, another field once it is whole. A slip in a field (another type,
another spelling, something missing) drops or repairs that field; only a document without its text is none.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from app.core import coerce
from app.core.answer import read_document
from app.core.lenient_json import NotJson, parse_json
from app.core.narrative import NarrativeBuffer
from app.core.prose import SpoiledNarrative, nested_document, visible_prose
from app.core.text import has_visible, scrub_surrogates


class Written(BaseModel):
    """A document, or a part of one. Every field has a default; unknown ones are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def score(value: Any) -> float | None:
    """A number from 0 to 1, also as a text or in per cent; what lies outside is moved to the bound."""
    if isinstance(value, str):
        text = value.strip()
        percent = text.endswith("%")
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            return None
        value = value / 100 if percent else value
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(min(max(value, 0), 1))


def objects(value: Any) -> list[Any]:
    """The objects of a list; an object that stands alone is a list of one."""
    value = coerce.decoded(value)
    rows = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, dict | BaseModel)]


Prose = Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "")]
"""A text as it was shown, character for character."""
Text = Annotated[str, BeforeValidator(lambda value: (coerce.text(value) or "").strip())]
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: coerce.texts(value) or ())]
Score = Annotated[float | None, BeforeValidator(score), WithJsonSchema({"type": "number"})]
"""From 0 to 1; None: none that can be read."""
Objects = BeforeValidator(objects)


def _relations(value: Any) -> dict[str, str]:
    """By name, also from a list of `{name, relation}`."""
    value = coerce.decoded(value)
    rows = value.items() if isinstance(value, dict) and "relation" not in value else ()
    relations = {name: coerce.text(relation) for name, relation in rows}
    for row in () if rows else objects(value):
        relations.setdefault(coerce.text(row.get("name")) or "", coerce.text(row.get("relation")))
    return {name: relation for name, relation in relations.items() if name and relation}


_RELATION = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "relation": {"type": "string"}},
}
Relations = Annotated[
    dict[str, str],
    BeforeValidator(_relations),
    WithJsonSchema({"type": "array", "items": _RELATION}, mode="validation"),
]
"""What others are to somebody, by name. A model writes a list: strict schemas know no free keys."""

Document = TypeVar("Document", bound=Written)


class NotWritten(ValueError):
    """The text is no document with something to read in it."""


def read_written(kind: type[Document], text: str, raw: str) -> Document:
    """The document in a model's whole answer, of which the field `text` is shown. Raises `NotWritten`."""
    try:
        document = read_document(scrub_surrogates(raw), text)
        shown = _shown(document.get(text))
    except (NotJson, SpoiledNarrative) as error:
        raise NotWritten(str(error)) from None
    return kind.model_validate({**document, text: shown})


def _shown(prose: Any) -> str:
    """The visible part of the text. Raises `NotWritten`, `SpoiledNarrative`."""
    if not isinstance(prose, str) or nested_document(prose):
        raise NotWritten("the text is no prose")
    shown = visible_prose(prose)
    if not has_visible(shown):
        raise NotWritten("the text has no visible character")
    return shown


def read_field(kind: type[Written], name: str, raw: str) -> Any:
    """The value of a field from its JSON, as JSON; None where it cannot be read."""
    try:
        value = parse_json(raw).value if raw[:1] in "{[" else parse_json(f"[{raw}]").value[0]
    except (NotJson, IndexError):
        return None
    return kind.model_validate({name: value}).model_dump(mode="json", include={name})[name]


class FieldsBuffer(NarrativeBuffer):
    """`NarrativeBuffer` of the text `field`, whose `spans` are those of the values named by `others`:
    lists, objects and texts."""

    __slots__ = ("_spanned",)

    def __init__(self, field: str, others: frozenset[str]) -> None:
        super().__init__(field)
        self._spanned = others

    def _open_string(self, text: str, pos: int) -> None:
        value = self._depth == 1 and not self._is_key and not self._bare
        super()._open_string(text, pos)
        if value and self._key in self._spanned:
            self._span_at = self._absolute(text, pos) - 1
