"""Whether a text keeps to rules."""

from __future__ import annotations

from typing import Final

from app.content import ruling
from app.content.kind import Kind
from app.content.replies import ValidationReply
from app.content.ruling import ValidationIn
from app.core.rules import THRESHOLD, Verdicts

TASK: Final = f"""\
Judge whether the text "content" keeps to the rules. "analysis": one or two sentences on the text as a
whole. "verdicts": exactly one for each entry of "rules", with its number as "rule"; "score" from 0
(broken) to 1 (kept throughout), {THRESHOLD} where it just passes; "issues": what breaks it and where, empty
where nothing does. A rule of the category "consistency" asks whether the text agrees with itself, "theme"
and "context"; "rules" whether it agrees with the rules of the game; "custom" is what its name says.
"""
KIND: Final = Kind(
    name="validation",
    path="/validation/content",
    summary="Validate a text by rules",
    request=ValidationIn,
    document=Verdicts,
    text="analysis",
    kept=frozenset(),
    charged="validation",
    published="validation.completed",
    task=lambda _: TASK,
    answered=ruling.decided,
    lacking=ruling.unjudged,
    joined=ruling.joined,
    reply=ruling.judged,
    replied=ValidationReply,
    exact=True,
    example={
        "content": "A lighthearted story about friendship.",
        "content_type": "quest",
        "rules": [{"category": "theme", "name": "tone_consistency"}],
    },
)
