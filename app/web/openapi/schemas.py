"""JSON schemas of everything that operations take and answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from app.web.problem import error_form
from app.web.routing import Json, Operation


class _Generator(GenerateJsonSchema):
    """An answer is dumped whole: a default makes none of its fields optional."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return True
        return super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


class Schemas:
    """`components` by name; `taken` and `sent` give the schema of a type."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        rows = _types(operations)
        generator = _Generator(ref_template="#/components/schemas/{model}")
        self._made, definitions = generator.generate_definitions(
            [(id(type_), mode, TypeAdapter(type_).core_schema) for type_, mode in rows.values()]
        )
        self.components: Json = dict(sorted((str(k), v) for k, v in definitions.items()))

    def taken(self, type_: Any) -> Json:
        """The schema of a request or of a message to the service."""
        return self._made[id(type_), "validation"]

    def sent(self, type_: Any) -> Json:
        """The schema of an answer, an event or an error."""
        return self._made[id(type_), "serialization"]

    def reachable(self, schemas: Iterable[Json]) -> Json:
        """The components that these schemas need."""
        found: Json = {}
        waiting = [name for schema in schemas for name in references(schema)]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.components[name]
                waiting += references(found[name])
        return dict(sorted(found.items()))


def _types(operations: Iterable[Operation]) -> dict[tuple[int, str], tuple[Any, JsonSchemaMode]]:
    taken: list[Any] = []
    sent: list[Any] = []
    for one in operations:
        sent.append(error_form(one.path).type)
        taken += [one.request.type] if one.request else []
        taken += [message.type for message in one.channel.messages] if one.channel else []
        sent += [one.channel.events] if one.channel else []
        sent += [type_ for answer in one.answers for type_ in (answer.json, answer.events)]
    rows: list[tuple[Any, JsonSchemaMode]] = [(type_, "validation") for type_ in taken]
    rows += [(type_, "serialization") for type_ in sent if type_ is not None]
    return {(id(type_), mode): (type_, mode) for type_, mode in rows}


def references(node: Any) -> Iterator[str]:
    """Names of the components that a schema refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from references(part)
