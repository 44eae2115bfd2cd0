"""The dialects by name."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request

from app.errors import ValidationError
from app.web.dialects.ag_ui import AG_UI
from app.web.dialects.ai_sdk import AI_SDK
from app.web.dialects.dialect import Dialect
from app.web.dialects.gaia import GAIA
from app.web.dialects.native import NATIVE
from app.web.dialects.openai import OPENAI, OPENAI_PLAIN
from app.web.dialects.rpg import RPG
from app.web.routing import Parameter

DIALECTS: Final[dict[str, Dialect[Any]]] = {
    one.name: one for one in (NATIVE, AG_UI, AI_SDK, OPENAI, GAIA, RPG)
}
DIALECT: Final = Parameter(
    "dialect",
    "query",
    "The protocol that the stream speaks: this service's own, AG-UI 1.0, the UI message stream of "
    "Vercel's AI SDK, chunks of OpenAI's Chat Completions, or the messages of an older streaming dungeon "
    "master (gaia) and of an older table service (rpg).",
    {"type": "string", "enum": list(DIALECTS), "default": NATIVE.name},
    component="Dialect",
)

FOREIGN: Final = "A message of the protocol that `dialect` names."


def dialect_asked(request: Request) -> Dialect[Any]:
    """The dialect that the query names; the native one without a name. Raises `ValidationError`."""
    name = request.query_params.get(DIALECT.name, NATIVE.name)
    if name not in DIALECTS:
        raise ValidationError(f"dialect: must be one of {', '.join(DIALECTS)}")
    return DIALECTS[name]


def dialect_posted(request: Request) -> Dialect[Any]:
    """The same for a POST: what reads the answer of one may be no client of ours."""
    asked = dialect_asked(request)
    return OPENAI_PLAIN if asked.name == OPENAI.name else asked
