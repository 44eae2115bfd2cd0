"""Kinds of text in the data files.

A `Line` is plain text. A template is a rule of the grammar in `grammar.py`; its type says which
placeholders are bound where it is used, and any other placeholder is a mistake.
"""

from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.standins.storyteller.grammar import template_mistake

T = TypeVar("T")

SCENE: Final = "name kind weapon here spot npc npc_full npc_role npc_look other weather"
GIVER: Final = "giver giver_full giver_role giver_look near far"


class Record(BaseModel):
    """Strict: no value is converted and no unknown key is accepted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


def placeholders(names: str, *, choices: bool = True) -> AfterValidator:
    """Refuses a template with another placeholder, with a stray bracket, or with a choice."""
    known = frozenset(names.split())

    def check(text: str) -> str:
        if mistake := template_mistake(text, known, choices=choices):
            raise ValueError(mistake)
        return text

    return AfterValidator(check)


Some = Annotated[tuple[T, ...], Field(min_length=1)]
"""A list that is not empty."""
Line = Annotated[str, placeholders("", choices=False)]
Template = Annotated[str, placeholders(SCENE)]
SpotTemplate = Annotated[str, placeholders("near far", choices=False)]
FoeTemplate = Annotated[str, placeholders(f"{SCENE} foe")]
ArrivalTemplate = Annotated[str, placeholders(f"{SCENE} foe foe_kind")]
GiverTemplate = Annotated[str, placeholders(f"{SCENE} {GIVER}")]


def templates(names: str) -> Any:
    """The type of a list of templates in which these placeholders are bound."""
    item: Any = Annotated[str, placeholders(names)]
    return Some[item]
