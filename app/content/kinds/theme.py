"""Theme analysis: themes of a text with their strengths, and whether a target theme suits it."""

from __future__ import annotations

from typing import Final, get_args

from app.content import theming
from app.content.kind import Kind
from app.content.replies import ThemeReply
from app.content.theming import ThemeIn
from app.core.themes import Analysis, Category, added

TASK: Final = f"""\
Analyse the text "content". "analysis": two or three sentences on its theme. "categories": each of
{", ".join(get_args(Category))} that it has something of, with your confidence from 0 to 1.
"elements": one entry for each that is named under "elements" in the request, with a score from 0
(absent) to 1 (masterly), what you have seen, and suggestions. "compatibility": empty, unless there are
both current_theme and target_theme: then one entry with a score from 0 to 1, conflicts, enhancements, and
transition_steps that lead from one to the other. "suggested_parameters": one entry.
"""
KIND: Final = Kind(
    name="theme",
    path="/theme/analyze",
    summary="Analyse the theme of a text",
    request=ThemeIn,
    document=Analysis,
    text="analysis",
    kept=frozenset(),
    charged="theme",
    published="theme.analyzed",
    task=lambda _: TASK,
    answered=theming.answered,
    lacking=theming.lacking,
    joined=added,
    reply=theming.reply,
    replied=ThemeReply,
    example={"content": "A heroic tale of discovery in a mystical land.", "elements": ["tone"]},
)
