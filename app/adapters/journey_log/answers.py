"""Distinguishing answers of journey-log from answers of others in its place.

Gateways, login pages and captive portals answer in its place, with 200 as well as with 403. An
answer counts as journey-log's own only by its status, its content type and the shape of its body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Any, Final, Literal, NamedTuple

from app.errors import (
    CharacterNotFound,
    DungeonMasterError,
    Forbidden,
    JourneyLogError,
    Upstream,
)

# Deep nesting is a RecursionError.
UNREADABLE: Final = (ValueError, KeyError, TypeError, RecursionError)

Shape = type | UnionType | dict[str, Any]
"""A type, or the shapes that the keys of an object must have; other keys do not matter."""


@dataclass(frozen=True)
class Answer:
    """A whole answer as it came."""

    status: int
    content: bytes
    content_type: str = ""

    @property
    def is_json(self) -> bool:
        media_type = self.content_type.partition(";")[0].strip().lower()
        return media_type == "application/json" or media_type.endswith("+json")

    @property
    def is_outage(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status >= 500 or self.status in (408, 429)

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object of the body; an empty one where there is none."""
        if not self.is_json:
            return {}
        try:
            body = json.loads(self.content)
        except UNREADABLE:
            return {}
        return body if isinstance(body, dict) else {}


class _Success(NamedTuple):
    status: int
    shape: Shape | Literal["none", "read as a model"]


_COMBAT: Final[Shape] = {"active": bool, "state": dict | None}
_SUCCESSES: Final = {
    "health": _Success(200, {"status": str}),
    "create_character": _Success(201, {"character": {"character_id": str}}),
    "characters": _Success(200, {"characters": list}),
    "character": _Success(200, {"character": {"adventure_prompt": str | None}}),
    "context": _Success(200, "read as a model"),
    "sparks": _Success(200, "read as a model"),
    "post_narrative": _Success(201, {"turn": {"turn_id": str}, "total_turns": int}),
    "get_narrative": _Success(200, {"turns": list}),
    "put_quest": _Success(200, {"quest": {"name": str}}),
    "get_quest": _Success(200, {"quest": dict | None}),
    "delete_quest": _Success(204, "none"),
    "put_combat": _Success(200, _COMBAT),
    "get_combat": _Success(200, _COMBAT),
    "post_poi": _Success(201, {"poi": {"id": str, "name": str}}),
    "get_pois": _Success(200, {"pois": list}),
}
_RULE_BROKEN: Final[Shape] = {"error": str, "message": str, "status_code": int}
_SCHEMA_BROKEN: Final[Shape] = {"error": str, "message": str, "errors": list}
# The form of the OpenAPI document. A gateway words its own 401 and 403 like this.
_DETAIL_STATUSES: Final = frozenset({400, 404, 409, 422})


def is_success(operation: str, answer: Answer) -> bool:
    """Whether journey-log itself says that it has carried the operation out."""
    meant = _SUCCESSES[operation]
    if answer.status != meant.status:
        return False
    match meant.shape:
        case "none":
            return not answer.content
        case "read as a model":  # parsed once only: a context may be long
            return answer.is_json
        case shape:
            return _fits(answer.body, shape)


def is_refusal(answer: Answer) -> bool:
    """Whether journey-log itself refused the request for good."""
    if not 400 <= answer.status < 500 or answer.is_outage:
        return False
    body = answer.body
    if body.get("error") == "http_error":
        return _fits(body, _RULE_BROKEN) and body["status_code"] == answer.status
    if body.get("error") == "validation_error":
        return _fits(body, _SCHEMA_BROKEN) and answer.status == 422
    return answer.status in _DETAIL_STATUSES and _is_detail(body)


def error_of(answer: Answer) -> DungeonMasterError:
    """The error that readers get for an answer that is no success."""
    if is_refusal(answer) and answer.status == 404:
        return CharacterNotFound()
    if is_refusal(answer) and answer.status == 403:
        return Forbidden("This character belongs to somebody else.")
    if answer.status < 300:
        return unreadable(answer)
    return JourneyLogError(
        f"journey-log answered {answer.status}.",
        recoverable=answer.is_outage,
        upstream=Upstream(answer.status, hint=_hint(answer)),
    )


def unreadable(answer: Answer) -> JourneyLogError:
    """The error for an answer that has the right status alone."""
    return JourneyLogError(
        "journey-log sent an answer that cannot be read.",
        upstream=Upstream(answer.status, hint=_hint(answer)),
    )


def words_of(answer: Answer) -> str:
    """What journey-log itself says of a refusal; empty for any other answer."""
    said = answer.body.get("message") or answer.body.get("detail") if is_refusal(answer) else ""
    return said if isinstance(said, str) else ""


def _hint(answer: Answer) -> str | None:
    """Which setting mends it, where the answer is not journey-log's own."""
    if answer.is_outage or is_refusal(answer):
        return None
    if 300 <= answer.status < 400:
        return "journey-log's address redirects: JOURNEY_LOG_BASE_URL must be its final address."
    if answer.status in (401, 403, 407):
        return (
            "What answers at JOURNEY_LOG_BASE_URL asks for credentials, and journey-log takes none: "
            "check the address."
        )
    return "Something else answers in journey-log's place: check JOURNEY_LOG_BASE_URL."


def _is_detail(body: dict[str, Any]) -> bool:
    """`{"detail": …}` alone, except that of a router that knows no such path."""
    detail = body.get("detail")
    if set(body) != {"detail"}:
        return False
    if isinstance(detail, str):
        return detail.rstrip(".").casefold() != "not found"
    return isinstance(detail, list) and all(_fits(row, {"loc": list, "msg": str}) for row in detail)


def _fits(value: Any, shape: Shape) -> bool:
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            name in value and _fits(value[name], inner) for name, inner in shape.items()
        )
    return isinstance(value, shape)
