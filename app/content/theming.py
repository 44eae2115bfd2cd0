"""Analyses of themes as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from pydantic import Field

from app.content.requests import Content, ContentIn, Theme
from app.core import theme_reading, themes
from app.core.themes import Analysis, Category, Element, Themes

ELEMENTS: Final = list(get_args(Element))


class ThemeIn(ContentIn):
    """Body of `POST /api/v2/theme/analyze`."""

    content: Content
    elements: Annotated[list[Element], Field(max_length=8)] = ELEMENTS
    category_filter: Annotated[list[Category], Field(max_length=9)] | None = None
    current_theme: Theme | None = None
    target_theme: Theme | None = None


def _asked(asked: ThemeIn) -> Themes:
    wanted, facts = tuple(dict.fromkeys(asked.elements)), asked.facts
    categories = asked.category_filter or get_args(Category)
    pair = facts.get("current_theme"), facts.get("target_theme")
    return Themes(asked.content, wanted, tuple(categories), *pair)


def lacking(asked: ThemeIn, given: Analysis) -> ThemeIn | None:
    """The request reduced to elements without a score; None where none is missing."""
    themed = _asked(asked)
    gaps = themes.missing(themed, given)
    if not gaps and not themes.uncompared(themed, given):
        return None
    return asked.model_copy(update={"elements": gaps})


def reply(asked: ThemeIn, given: Analysis) -> dict[str, Any]:
    """The fields of the answer."""
    return themes.analysed(_asked(asked), given)


def answered(asked: ThemeIn) -> Analysis | None:
    """The analysis of a text with too few words to judge; None for a longer one."""
    return themes.by_words(_asked(asked)) if theme_reading.says_little(asked.content) else None
