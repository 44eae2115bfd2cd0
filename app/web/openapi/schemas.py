"""JSON schemas of everything that goes in or out, made from the types in use."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from app.characters.routes import CharacterIn
from app.operations.routes import ParseLLM, PolicyReload
from app.web.inputs import TurnIn
from app.web.openapi import shapes
from app.web.openapi.events import CancelMessage, ResumeMessage, TurnEvent

Json = dict[str, Any]

REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    TurnIn,
    CharacterIn,
    PolicyReload,
    ParseLLM,
    ResumeMessage,
    CancelMessage,
)
ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    shapes.Problem,
    shapes.Turn,
    shapes.TurnDescription,
    shapes.TurnCancelledAnswer,
    shapes.TicketAnswer,
    shapes.UsageReport,
    shapes.CharacterCreated,
    shapes.Characters,
    shapes.CharacterSheet,
    shapes.HealthReport,
    shapes.Readiness,
    shapes.Liveness,
    shapes.MetricsReport,
    shapes.AdminTurn,
    shapes.RecentTurns,
    shapes.PolicyInForce,
    shapes.PolicyReloaded,
    shapes.ParsedAnswer,
)
EVENTS: Final[TypeAdapter[Any]] = TypeAdapter(TurnEvent)


class _Schemas(GenerateJsonSchema):
    """An answer is dumped whole: a default makes none of its fields optional."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "serialization":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def component_schemas() -> Json:
    """Every schema by its name, as `components.schemas` holds them."""
    rows: list[tuple[Any, JsonSchemaMode, Any]] = [
        (model, "validation", model.__pydantic_core_schema__) for model in REQUESTS
    ]
    rows += [(model, "serialization", model.__pydantic_core_schema__) for model in ANSWERS]
    rows.append(("TurnEvent", "serialization", EVENTS.core_schema))
    made, schemas = _Schemas(ref_template="#/components/schemas/{model}").generate_definitions(rows)
    everything: Json = {str(name): schema for name, schema in schemas.items()}
    everything["TurnEvent"] = made["TurnEvent", "serialization"]
    return dict(sorted(everything.items()))


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
