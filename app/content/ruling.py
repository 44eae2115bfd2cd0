"""Rules as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self
from uuid import NAMESPACE_OID, uuid5

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from app.content.requests import Content, ContentIn, Facts, Name, Note, Theme
from app.core import rules
from app.core.rules import Rule, Verdicts
from app.core.text import has_visible
from app.web.bodies import RequestBody


def _words(value: Any) -> Any:
    words = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) and has_visible(word) for word in words):
        raise ValueError("must be text, or a list of texts, each with a visible character")
    return value


_WORD: Final = {"type": "string", "minLength": 1}
_WORDS: Final = WithJsonSchema({"anyOf": [_WORD, {"type": "array", "items": _WORD}]})
Limit = Annotated[int, Field(ge=0)] | None
Words = Annotated[Any, AfterValidator(_words), _WORDS]


class Limits(Facts):
    """Limits, which are checked without a model. What else stands beside them is judged."""

    min_length: Limit = None
    max_length: Limit = None
    min_words: Limit = None
    max_words: Limit = None
    must_include: Words = None
    must_not_include: Words = None
    required_words: Words = None
    forbidden_words: Words = None


class RuleIn(RequestBody):
    """A rule, by which a text is judged."""

    category: Literal["theme", "quality", "consistency", "rules", "custom"]
    name: Name
    description: Note | None = None
    parameters: Limits | None = None
    is_required: bool = True
    rule_id: Name | None = Field(
        None,
        validation_alias=AliasChoices("rule_id", "id"),
        description="Unique among the rules; without it there is one made of place and name.",
    )


class ValidationIn(ContentIn):
    """Body of `POST /api/v2/validation/content`."""

    content: Content
    content_type: Name
    rules: Annotated[list[RuleIn], Field(max_length=100)]
    theme: Theme | None = None
    context: Facts | None = None
    _only: Sequence[int] | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _ids_of_their_own(self) -> Self:
        ids = [rule.rule_id for rule in self.ruled]
        if len(set(ids)) < len(ids):
            raise ValueError("rules must have ids of their own")
        return self

    @property
    def ruled(self) -> list[Rule]:
        """The rules in the order of the request."""
        return [_rule(number, rule) for number, rule in enumerate(self.rules, start=1)]

    @property
    def open(self) -> Sequence[int]:
        """The numbers of the rules that a model is asked about."""
        return rules.to_judge(self.ruled, self.content) if self._only is None else self._only

    def only(self, numbers: Sequence[int]) -> Self:
        """The same about fewer rules, which keep their numbers."""
        fewer = self.model_copy()
        fewer._only = numbers
        return fewer

    @property
    def facts(self) -> dict[str, Any]:
        known = super().facts
        numbered = enumerate(known["rules"], start=1)
        asked = set(self.open)
        known["rules"] = [{"rule": n, **rule} for n, rule in numbered if n in asked]
        return known


def _rule(number: int, rule: RuleIn) -> Rule:
    own_id = str(uuid5(NAMESPACE_OID, f"{number}:{rule.category}:{rule.name}"))
    parameters = (
        {}
        if rule.parameters is None
        else rule.parameters.model_dump(mode="json", exclude_unset=True)
    )
    return Rule(
        rule.rule_id or own_id, rule.name, parameters, rule.is_required, bool(rule.description)
    )


def decided(asked: ValidationIn) -> Verdicts | None:
    """Where no rule needs a model."""
    if asked.open:
        return None
    return Verdicts(analysis="Limits alone have decided; no model was needed.")


def unjudged(asked: ValidationIn, given: Verdicts) -> ValidationIn | None:
    """The request reduced to the rules without a verdict; None where all have one."""
    known = rules.by_number(given)
    gaps = [number for number in asked.open if number not in known]
    return asked.only(gaps) if gaps else None


def joined(given: Verdicts, more: Verdicts) -> Verdicts:
    """The verdicts of both answers."""
    return given.model_copy(update={"verdicts": (*given.verdicts, *more.verdicts)})


def judged(asked: ValidationIn, given: Verdicts) -> dict[str, Any]:
    """The fields of the answer."""
    return rules.judged(asked.ruled, asked.content, given)
