"""Finding out the capabilities of a model's server with few tokens, so that a service may ask when it
starts.

One short answer is asked for, with the schema of a turn in the best form that the server takes. An answer
in prose shows that the form is taken and not followed; then the next best one is tried, so that turns
are asked for in a form that works.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from app.core.messages import Message, Prompt
from app.core.prompt import OUTCOME_SCHEMA
from app.core.results import Usage
from app.ports.call import CallMeta
from app.ports.model import (
    FailureKind,
    Flow,
    ModelFailed,
    ModelListing,
    ModelRequest,
    ProbedModel,
)

Form = Literal["followed", "taken", "ignored", "refused", "untried"]
ANSWER_TOKENS: Final = 48
MOST_CHARACTERS: Final = 1_000
"""Of an answer, where the server ignores the bound on its tokens."""
ENDED: Final = frozenset({FailureKind.CUT_OFF, FailureKind.EMPTY, FailureKind.UNUSABLE})
"""Failures of an answer to a request that the server has taken."""
_QUESTION: Final = "Greet the player in one short sentence."
_FIRST_FIELD: Final = re.compile(r'\{\s*"(\w*)"?')
_FIELDS: Final = tuple(OUTCOME_SCHEMA.schema["properties"])
_MAY_BE_REASONING: Final = "<[◁"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`form`: the one in which turns are asked for; `forms`: what is known of each. None: not known."""

    form: str | None = None
    forms: dict[str, Form] = field(default_factory=dict)
    streaming: bool | None = None
    usage: bool | None = None
    context_tokens: int | None = None
    models: tuple[str, ...] = ()


class _Listener:
    def __init__(self) -> None:
        self.text = ""

    def read(self, deltas: list[str]) -> Flow:
        self.text += "".join(deltas)
        return Flow.STOP if len(self.text) > MOST_CHARACTERS else Flow.STREAM


async def find_out(
    model: ProbedModel, listing: ModelListing, *, stream: bool, busy: Callable[[], bool]
) -> Capabilities | None:
    """Ask the model, which keeps in mind what its server refuses and ignores. `stream`: whether turns are
    streamed. None where the service has become `busy`: some servers end an answer when the next request
    comes. Raises `ModelFailed` where the server takes no request.
    """
    forms: dict[str, Form] = dict.fromkeys(model.forms, "untried")
    while not busy():
        text, usage, streamed = await _answered(model, stream)
        form = model.form or model.forms[-1]
        forms[form] = followed(text, form)
        if forms[form] != "ignored" or form == model.forms[-1]:
            break
        model.leave_out(form)
    else:
        return None
    refused = {one for one in model.forms[: model.forms.index(form)] if forms[one] == "untried"}
    return Capabilities(
        form=form,
        forms={**forms, **dict.fromkeys(refused, "refused")},
        streaming=streamed if stream else None,
        usage=usage is not None,
        context_tokens=listing.context_tokens or await _context(model),
        models=listing.names,
    )


async def _answered(model: ProbedModel, stream: bool) -> tuple[str, Usage | None, bool]:
    """The answer as far as it came, its usage, and whether it was streamed."""
    listener = _Listener()
    if stream:
        try:
            end = await model.stream(_request(), listener.read)
        except ModelFailed as failure:
            if failure.kind in ENDED:
                return listener.text, failure.usage, True
            if failure.kind is not FailureKind.CANNOT_STREAM:
                raise
        else:
            return listener.text, end.usage, True
    try:
        text, end = await model.complete(_request())
    except ModelFailed as failure:
        if failure.kind not in ENDED:
            raise
        return "", failure.usage, False
    return text, end.usage, False


async def _context(model: ProbedModel) -> int | None:
    """Ollama names the context of a model only once it is loaded."""
    listing = await model.listing()
    return None if listing is None else listing.context_tokens


def followed(text: str, form: str) -> Form:
    """The form that the beginning of an answer shows."""
    begun = text.strip().removeprefix("```json").removeprefix("```").lstrip()
    if not begun or begun[0] in _MAY_BE_REASONING:
        return "taken"
    if not begun.startswith("{"):
        return "ignored"
    found = _FIRST_FIELD.match(begun)
    if found is None:
        return "taken"
    strange = "schema" in form and not any(one.startswith(found[1]) for one in _FIELDS)
    return "ignored" if strange else "followed"


def _request() -> ModelRequest:
    prompt = Prompt((Message("user", _QUESTION),), schema=OUTCOME_SCHEMA)
    return ModelRequest(prompt, CallMeta(str(uuid.uuid4())), ANSWER_TOKENS)
