"""The common parts of requests for content."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Final, Self

from pydantic import AliasChoices, ConfigDict, Field, model_validator

from app.core.encoding import encode
from app.core.fields import CharacterId, IdempotencyKey
from app.web.bodies import VISIBLE, RequestBody

MAX_TEXT: Final = 32_000
MAX_REQUEST: Final = 64_000
"""Characters of a whole request as JSON: what goes into one prompt."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Note = Annotated[str, Field(max_length=2_000)]
Content = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), VISIBLE]
Number = Annotated[float, Field(ge=0, le=2)]


def _is_finite(value: Any) -> bool:
    match value:
        case float():
            return isfinite(value)
        case dict():
            return all(map(_is_finite, value.values()))
        case list():
            return all(map(_is_finite, value))
        case _:
            return True


def only_finite(value: Any) -> Any:
    """`value`, if JSON can say all its numbers again. Raises `ValueError`."""
    if not _is_finite(value):
        raise ValueError("must hold finite numbers only")
    return value


class Facts(RequestBody):
    """Facts for the prompt: what is named here has its type, anything else may stand beside it."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _can_be_said(self) -> Self:
        only_finite(self.model_extra)
        return self


class Model(RequestBody):
    """The model and its sampling. A name that the service does not know means its own model."""

    name: Name | None = None
    temperature: Number = 0.7
    max_tokens: Annotated[int, Field(ge=1, le=32_000)] = 1_000


class Theme(Facts):
    genre: Name | None = None
    tone: Name | None = None
    style: Name | None = None


class CharacterContext(Facts):
    character_class: Name | None = None
    character_race: Name | None = None
    character_level: Annotated[int, Field(ge=1, le=20)] | None = None
    alignment: Name | None = None
    background: Name | None = None


class CampaignContext(Facts):
    campaign_theme: Name | None = None
    party_level: Annotated[int, Field(ge=1, le=20)] | None = None
    party_size: Annotated[int, Field(ge=1, le=100)] | None = None
    campaign_type: Name | None = None
    setting: Note | None = None
    length: Name | None = None


class ContentIn(RequestBody):
    """The fields of a request for any kind of content."""

    model: Model = Field(default_factory=Model)
    parent_content_id: CharacterId | None = Field(
        None,
        validation_alias=AliasChoices("parent_content_id", "parent_element_id"),
        description="Content of the caller that this one goes on from or belongs to.",
    )
    idempotency_key: IdempotencyKey | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(encode(self.facts).decode()) > MAX_REQUEST:
            raise ValueError(f"must have at most {MAX_REQUEST} characters as JSON")
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """The request's facts for the prompt, as JSON."""
        return self.model_dump(
            mode="json",
            exclude={"model", "parent_content_id", "idempotency_key"},
            exclude_none=True,
        )

    @property
    def stored(self) -> dict[str, Any]:
        """The fields that make two requests the same, as JSON that validates again."""
        return self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_none=True)
