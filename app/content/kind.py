"""A kind of content: its request, the document that the model writes, and the answer made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from app.content.requests import ContentIn
from app.core.hub import EventType
from app.core.messages import JsonSchema
from app.core.strict_schema import strict_schema
from app.core.written import Written
from app.web.routing import Json

Asked = TypeVar("Asked", bound=ContentIn)
Doc = TypeVar("Doc", bound=Written)

Charged = Literal["text", "theme", "validation"]
"""Which limit counts it, and which time to live its answers have."""


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[Asked, Doc]):
    """`path`: behind `/api/v2`. `text`: the field of `document` that is shown while it forms. `task`: what
    the model is to do.

    `answered`: the document where no model is needed, None where one is. `lacking`: the request for what is
    missing in a document, None where nothing is; asked once, and joined by `joined`. `reply`: the fields of
    the answer, by default those of the document; `replied` is their type. `kept`: fields of the document
    that are shown as they are; by default all. `exact`: another spelling makes another request.
    `published`: the event that other services get for a new one.
    """

    name: str
    path: str
    summary: str
    request: type[Asked]
    document: type[Doc]
    text: str
    task: Callable[[Asked], str]
    example: Json
    charged: Charged = "text"
    published: EventType = "content.generated"
    answered: Callable[[Asked], Doc | None] = lambda _: None
    lacking: Callable[[Asked, Doc], Asked | None] = lambda _, __: None
    joined: Callable[[Doc, Doc], Doc] = lambda document, _: document
    reply: Callable[[Asked, Doc], Mapping[str, Any]] = lambda _, document: document.model_dump()
    replied: Any = None
    kept: frozenset[str] | None = None
    exact: bool = False
    schema: JsonSchema = field(init=False)

    def __post_init__(self) -> None:
        schema = JsonSchema(f"content_{self.name}", strict_schema(self.document))
        object.__setattr__(self, "schema", schema)

    @cached_property
    def others(self) -> frozenset[str]:
        """Fields of the document that are shown as they are, beside its text."""
        known = frozenset(self.document.model_fields) if self.kept is None else self.kept
        return known - {self.text}
