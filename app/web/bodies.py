"""JSON that clients send: strict types, no unknown fields, errors that name the field."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic import ValidationError as PydanticValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.core.fields import CharacterId
from app.core.references import MAX_REFERENCES
from app.core.text import has_visible
from app.errors import ValidationError
from app.requirements import fault, names_of

MAX_SHOWN_NAME = 64
_BYTE_ORDER_MARK = "\ufeff"


class RequestBody(BaseModel):
    """A JSON object of a client. A known field that is `null` counts as absent."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = names_of(cls)
        return {name: it for name, it in value.items() if it is not None or name not in known}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Shows every name of a field: a client made from it knows no other."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties = schema.get("properties", {})
        for name, field in names_of(cls).items():
            if name not in properties:
                about = f"Another name of `{field}`; give one of them."
                properties[name] = {**properties[field], "description": about}
        return schema


class InheritedBody(RequestBody):
    """A JSON object of the clients of an older service, which ignored fields that nobody knows."""

    model_config = ConfigDict(extra="ignore")


def _visible(text: str) -> str:
    if not has_visible(text):
        raise ValueError("must have a visible character")
    return text


VISIBLE: Final = AfterValidator(_visible)
"""For text with at least one character that a reader can see."""

References = Annotated[
    list[CharacterId] | None,
    Field(
        max_length=MAX_REFERENCES,
        description="Content of yours that the prompt is to have, by `content_id`.",
    ),
]

Model = TypeVar("Model", bound=RequestBody)


def parse_model(body: bytes | str, model: type[Model]) -> Model:
    """Raises `ValidationError` that names the fields, never their values."""
    try:
        return model.model_validate_json(without_mark(body))
    except PydanticValidationError as error:
        rows = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [_problem(row, model) for row in rows[:20]]
    message = "; ".join(f"{row['field']}: {row['message']}" for row in problems)
    raise ValidationError(message, extra={"errors": problems})


def without_mark(body: bytes | str) -> bytes | str:
    """`body` without the byte order mark that some editors and runtimes put before JSON."""
    if isinstance(body, str):
        return body.removeprefix(_BYTE_ORDER_MARK)
    return body.removeprefix(_BYTE_ORDER_MARK.encode())


def _problem(row: Any, model: type[RequestBody]) -> dict[str, str]:
    field = ".".join(str(part)[:MAX_SHOWN_NAME] for part in row["loc"]) or "body"
    return {"field": field, "message": fault(row, model)}
