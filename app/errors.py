"""Every way a request or a turn can fail, as one tree.

    DungeonMasterError
    ├── the caller's, from ValidationError to TokenBudgetExceeded
    ├── the model's: LLMError, LLMResponseError, LLMUnavailable, LLMTimeout
    ├── journey-log's: JourneyLogError, JourneyLogTimeout
    └── ours: Overloaded (StoreUnavailable), Interrupted, InternalError

A class is the whole mapping: its wire name, HTTP status and whether a retry can help. The web layer
turns an instance into `application/problem+json`, the pipeline into an `error` event. Messages are
shown to clients: no secret, no stack trace, no text of another user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple


class Upstream(NamedTuple):
    """An upstream's refusal, with a hint for the operator. `code`: letters, digits, `_.-`."""

    status: int | None = None
    code: str | None = None
    hint: str | None = None


class DungeonMasterError(Exception):
    """Base of the tree. `extra` is merged into the problem document, `headers` into the answer.

    `sends` names the headers that the answer may have. `recoverable`: None takes the class's; an outage
    of an upstream is, a refusal is not.
    """

    type: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    recoverable: bool = False
    default_message: ClassVar[str] = "The service failed unexpectedly."
    default_retry_after: ClassVar[float | None] = None
    default_headers: ClassVar[Mapping[str, str]] = {}
    sends: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        recoverable: bool | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.retry_after = self.default_retry_after if retry_after is None else retry_after
        self.headers = dict(headers or self.default_headers)
        self.extra = dict(extra or {})
        self.upstream = upstream
        if recoverable is not None:
            self.recoverable = recoverable
        super().__init__(self.message)


class InternalError(DungeonMasterError):
    """A fault of ours that no other class describes."""


class ValidationError(DungeonMasterError):
    type, status = "validation_error", 422
    default_message = "The request is not valid."


class BadRequest(DungeonMasterError):
    type, status = "bad_request", 400
    default_message = "The request cannot be read."


class UpgradeRequired(BadRequest):
    status, sends = 426, ("Upgrade",)
    default_message = (
        "This is a WebSocket's address, and the request asked for no upgrade. A proxy on the way may "
        "have dropped the Upgrade and Connection headers: it must speak HTTP/1.1 and pass them on."
    )
    default_headers: ClassVar = {"Upgrade": "websocket", "Connection": "Upgrade"}


class InvalidLimit(BadRequest):
    type = "invalid_limit"
    default_message = "limit is out of range."


class ConfigValidationFailed(BadRequest):
    type = "config_validation_failed"


class Unauthorized(DungeonMasterError):
    type, status, sends = "unauthorized", 401, ("WWW-Authenticate",)
    default_message = "Authentication is required."


class Forbidden(DungeonMasterError):
    """The caller is known and lacks the scope or the ownership."""

    type, status = "forbidden", 403
    default_message = "This is not allowed to you."


class NotFound(DungeonMasterError):
    type, status = "not_found", 404
    default_message = "There is nothing at this address."


class MethodNotAllowed(DungeonMasterError):
    type, status, sends = "method_not_allowed", 405, ("Allow",)
    default_message = "This address does not take that method."


class CharacterNotFound(DungeonMasterError):
    type, status = "character_not_found", 404
    default_message = "journey-log knows no such character."


class TurnNotFound(DungeonMasterError):
    type, status = "turn_not_found", 404
    default_message = "There is no such turn."


class CharacterExists(DungeonMasterError):
    """The caller has a character of the same name, race and class; `extra` names it."""

    type, status = "character_exists", 409
    default_message = "You already have a character with this name, race and class."


class StoryHasBegun(CharacterExists):
    """An opening is asked for, and there is one."""

    default_message = "The story of this character has begun already."


class TurnInProgress(DungeonMasterError):
    """Another turn holds the character; `Location` leads to it."""

    type, status, recoverable = "turn_in_progress", 409, True
    sends = ("Location", "Retry-After")
    default_message = "This character is in the middle of another turn."
    default_retry_after = 2


class TurnCancelled(DungeonMasterError):
    type, status = "turn_cancelled", 409
    default_message = "The turn was cancelled."


class NotCancellable(DungeonMasterError):
    type, status = "not_cancellable", 409
    default_message = "The turn can no longer be cancelled."


class NotAwaitingCommit(DungeonMasterError):
    type, status = "not_awaiting_commit", 409
    default_message = "The turn awaits no commit."


class NothingToPlay(DungeonMasterError):
    type, status = "nothing_to_play", 409
    default_message = "Nobody has acted in this round."


class TurnExpired(DungeonMasterError):
    type, status, sends = "turn_expired", 410, ("Link",)
    default_message = "The events of this turn are no longer kept."


class PayloadTooLarge(DungeonMasterError):
    type, status = "payload_too_large", 413
    default_message = "The request body is too large."


class IdempotencyKeyReused(DungeonMasterError):
    type, status = "idempotency_key_reused", 422
    default_message = "This idempotency key was used with another request."

    def __init__(self, turn_id: str | None = None) -> None:  # of that request, where it is one
        super().__init__()
        self.turn_id = turn_id


class NoNewAction(DungeonMasterError):
    type, status = "no_new_action", 422
    default_message = "The last message is none of the player's: there is nothing new to play."


class HistoryIsWritten(DungeonMasterError):
    type, status = "history_is_written", 422
    default_message = (
        "The story has gone on from there: what was played cannot be edited or branched. Go on behind "
        "its newest answer."
    )


class NotATurn(DungeonMasterError):
    type, status = "not_a_turn", 422
    default_message = (
        "Only a streamed request plays a turn, or one with an Idempotency-Key or "
        '`metadata: {"dm_turn": "true"}`.'
    )


class ModelNotFound(DungeonMasterError):
    type, status = "model_not_found", 404
    default_message = "There is no such model; see `GET /v1/models` for yours."


class RateLimitExceeded(DungeonMasterError):
    """A rate limit is reached; the message names it, `retry_after` is in seconds."""

    type, status, recoverable = "rate_limit_exceeded", 429, True
    sends = (
        *("RateLimit", "RateLimit-Policy", "Retry-After"),
        *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
    )
    default_message = "Too many requests."
    default_retry_after = 1


class TokenBudgetExceeded(DungeonMasterError):
    """The user's daily token budget does not cover another turn."""

    type, status, recoverable = "token_budget_exceeded", 429, True
    sends = ("Retry-After",)
    default_message = "The token budget is used up."
    default_retry_after = 60


class LLMError(DungeonMasterError):
    """The model refused the request or broke off; `upstream` says why."""

    type, status = "llm_error", 502
    default_message = "The model failed to answer."


class LLMResponseError(DungeonMasterError):
    type, status = "llm_response_error", 502
    default_message = "The model's answer is not a valid outcome; nothing was saved."


class LLMUnavailable(DungeonMasterError):
    """The circuit of every model is open."""

    type, status, recoverable = "llm_unavailable", 503, True
    sends = ("Retry-After",)
    default_message = "The model is not available right now."
    default_retry_after = 5


class LLMTimeout(DungeonMasterError):
    type, status, recoverable = "llm_timeout", 504, True
    default_message = "The model did not answer in time."


class JourneyLogError(DungeonMasterError):
    type, status = "journey_log_error", 502
    default_message = "journey-log failed to answer."


class JourneyLogTimeout(DungeonMasterError):
    type, status, recoverable = "journey_log_timeout", 504, True
    default_message = "journey-log did not answer in time."


class Overloaded(DungeonMasterError):
    """A bound of this process is reached: turns, streams, model calls or queue."""

    type, status, recoverable = "overloaded", 503, True
    sends = ("Retry-After",)
    default_message = "The service is at its limit; try again shortly."
    default_retry_after = 2


class StoreUnavailable(Overloaded):
    """A full disk, a read-only file, a lost database: reported to clients as an overload."""

    default_message = "The turn store cannot be used right now."
    default_retry_after = 10


class Interrupted(DungeonMasterError):
    type, status, recoverable = "interrupted", 503, True
    sends = ("Retry-After",)
    default_message = "The service stopped before this turn was validated; nothing was saved."
    default_retry_after = 1


def _tree(cls: type[DungeonMasterError]) -> dict[str, type[DungeonMasterError]]:
    below = [_tree(sub) for sub in reversed(cls.__subclasses__())]
    return {name: one for tree in below for name, one in tree.items()} | {cls.type: cls}


ERRORS: Mapping[str, type[DungeonMasterError]] = _tree(DungeonMasterError)
"""Wire name → class, to rebuild the error that a stored turn ended with."""
