"""The OpenAPI and AsyncAPI documents of a list of operations."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from app.web.openapi.asyncapi import asyncapi_document
from app.web.openapi.document import openapi_document
from app.web.openapi.schemas import Schemas
from app.web.routing import Json, Operation


class Documents:
    """Both documents, each built when it is first asked for."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations = [one for one in operations if one.described]

    @cached_property
    def openapi(self) -> Json:
        """OpenAPI 3.1, with `itemSchema` for event streams as in 3.2."""
        return openapi_document(self._operations, self._schemas)

    @cached_property
    def asyncapi(self) -> Json:
        """AsyncAPI 3.0."""
        return asyncapi_document(self._operations, self._schemas)

    @cached_property
    def _schemas(self) -> Schemas:
        return Schemas(self._operations)
