"""The operations on content."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from typing import Any, Final, get_type_hints

from typing_extensions import TypedDict

from app import errors
from app.content import batch, routes
from app.content.kind import Kind
from app.content.replies import ContentDescription, Contents, Reply
from app.core import wire
from app.turns.api import ANSWERING, READABLE, SEEN_TO_THE_END
from app.web.parameters import EXAMPLE_TURN, IDEMPOTENCY_KEY, LAST_EVENT_ID, USER_ID, UUID
from app.web.routing import Answer, Body, Operation, Parameter, Tag

CONTENT: Final = Tag("Content", "Texts, people and places for a campaign, themes, validation.")
_operation = partial(Operation, scope="content", tag=CONTENT)

_ACCEPT: Final = Parameter("Accept", "header", "`text/event-stream` streams the answer.")
_ID: Final = Parameter("content_id", "path", "The content.", UUID, EXAMPLE_TURN)
_REFUSED: Final = (errors.NotFound, *ANSWERING)


def operations_of(kinds: Iterable[Kind[Any, Any]]) -> tuple[Operation, ...]:
    """One for each kind, and those on content that was made before."""
    known = tuple(kinds)
    return (*map(_made, known), _batch(known), *_FOUND)


def _batch(kinds: tuple[Kind[Any, Any], ...]) -> Operation:
    by_path = {f"/api/v2{kind.path}": kind for kind in kinds}
    first = kinds[0]
    example = {"requests": [{"path": first.path, "id": "a", "body": first.example}]}
    return _operation(
        method="POST",
        path="/api/v2/batch",
        endpoint=batch.post_batch(by_path),
        name="makeBatch",
        summary="Make up to 50 at once",
        about="A stream of results as soon as they are there, each with its own status: lines of "
        "JSON, or with `Accept: text/event-stream` events, then `[DONE]`. Limits count each request; an "
        "`Idempotency-Key` counts for each by its place.",
        parameters=(IDEMPOTENCY_KEY, USER_ID, _ACCEPT),
        request=Body(batch.BatchIn, example),
        answers=(
            Answer(
                200,
                "The results.",
                media={batch.LINES: {"schema": {"type": "string"}}},
                foreign="A `BatchResult`: index, id, status, headers and body.",
            ),
        ),
        errors=(errors.RateLimitExceeded, errors.Overloaded),
    )


def _made(kind: Kind[Any, Any]) -> Operation:
    shown: Any = kind.replied or kind.document
    return _operation(
        method="POST",
        path=f"/api/v2{kind.path}",
        endpoint=routes.post_of(kind),
        name=f"make{kind.name.capitalize()}",
        summary=kind.summary,
        about="With `Accept: text/event-stream` the answer is streamed as a turn is: `token` events of its "
        f"`{kind.text}`, a `field` event for each other field as soon as it is whole, then one `complete` "
        "that carries `content`; resumable at `Location` and cancelled as a turn.",
        parameters=(IDEMPOTENCY_KEY, LAST_EVENT_ID, USER_ID, _ACCEPT),
        request=Body(kind.request, kind.example),
        answers=(
            Answer(
                200,
                "The answer.",
                json=_reply_type(kind.name, shown),
                events=wire.TurnEvent,
                headers=READABLE,
            ),
            SEEN_TO_THE_END,
        ),
        errors=_REFUSED,
    )


@cache
def _reply_type(name: str, shown: Any) -> Any:
    """The fields of the kind's answer beside those that every answer has."""
    own = {field: hint for field, hint in _hints(shown).items() if field != "model_config"}
    make: Any = TypedDict
    return make(f"{name.capitalize()}Answer", _hints(Reply) | own)


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


_FOUND: Final = (
    _operation(
        method="GET",
        path="/api/v2/content",
        endpoint=routes.list_contents,
        name="listContents",
        summary="Your content, newest first",
        parameters=(
            Parameter("limit", "query", "How many, from 1 to 100.", {"type": "integer"}),
            Parameter("parent_content_id", "query", "Only what belongs to it.", UUID),
            Parameter("before", "query", "`next` of the page before.", UUID),
            USER_ID,
        ),
        answers=(Answer(200, "A page of it.", json=Contents),),
        errors=(
            errors.NotFound,
            errors.ValidationError,
            errors.InvalidLimit,
            errors.Overloaded,
        ),
    ),
    _operation(
        method="GET",
        path="/api/v2/content/{content_id}",
        endpoint=routes.get_content,
        name="getContent",
        summary="Content that was made before",
        parameters=(_ID, USER_ID),
        answers=(Answer(200, "The answer as it was given.", json=ContentDescription),),
        errors=(errors.NotFound, errors.Overloaded),
    ),
    _operation(
        method="DELETE",
        path="/api/v2/content/{content_id}",
        endpoint=routes.delete_content,
        name="deleteContent",
        summary="Remove content",
        about="What belongs to it stays. The events of its turn go with their own retention.",
        parameters=(_ID, USER_ID),
        answers=(Answer(204, "It is removed."),),
        errors=(errors.NotFound, errors.Overloaded),
    ),
)
