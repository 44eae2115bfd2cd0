"""What a failure of a model means: for the next call, for the error, for the statistics."""

from __future__ import annotations

import asyncio
from typing import Final, assert_never

from app.errors import (
    DungeonMasterError,
    LLMError,
    LLMResponseError,
    LLMTimeout,
    LLMUnavailable,
)
from app.generation.observe import CallOutcome
from app.ports.model import FailureKind, ModelFailed

MAX_RETRY_AFTER: Final = 60.0

RETRIED: Final = frozenset({FailureKind.TRANSIENT, FailureKind.TIMED_OUT, FailureKind.EMPTY})
"""The same call may succeed later."""
WORTH_THE_WHOLE: Final = frozenset(
    {FailureKind.BROKEN, FailureKind.STALLED, FailureKind.CANNOT_STREAM}
)
"""The same prompt may succeed without streaming."""
FREE: Final = frozenset(
    {
        FailureKind.REFUSED,
        FailureKind.TRANSIENT,
        FailureKind.CANNOT_STREAM,
        FailureKind.CIRCUIT_OPEN,
    }
)
"""The model has read and written nothing."""
MAY_BE_WHOLE: Final = frozenset({FailureKind.BROKEN, FailureKind.STALLED, FailureKind.UNUSABLE})
"""What came before the failure may be a complete answer."""
NO_FAULT: Final = frozenset({FailureKind.UNUSABLE, FailureKind.EMPTY, FailureKind.CANNOT_STREAM})
"""The model answered, so its health is not in question."""


def worth_retrying(error: Exception) -> bool | float:
    """Whether to try again; a number is the provider's own Retry-After in seconds."""
    if not isinstance(error, ModelFailed) or error.kind not in RETRIED:
        return False
    if error.retry_after is not None:
        return min(error.retry_after, MAX_RETRY_AFTER)
    return True


def as_error(failure: ModelFailed) -> DungeonMasterError:
    """The error that clients get."""
    match failure.kind:
        case FailureKind.CIRCUIT_OPEN:
            return LLMUnavailable(retry_after=failure.retry_after)
        case FailureKind.TIMED_OUT | FailureKind.STALLED:
            return LLMTimeout()
        case FailureKind.UNUSABLE | FailureKind.EMPTY:
            return LLMResponseError(f"{failure}; nothing was saved.")
        case (
            FailureKind.REFUSED
            | FailureKind.TRANSIENT
            | FailureKind.BROKEN
            | FailureKind.CANNOT_STREAM
        ):
            return LLMError(f"The model failed: {failure}.")
        case _:
            assert_never(failure.kind)


def call_outcome(error: BaseException) -> CallOutcome:
    """How a call that ended with `error` is counted."""
    match error:
        case ModelFailed():
            return _OUTCOMES[error.kind]
        case LLMResponseError():
            return "invalid"
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return "failed"


_OUTCOMES: Final[dict[FailureKind, CallOutcome]] = {
    FailureKind.REFUSED: "failed",
    FailureKind.TRANSIENT: "unavailable",
    FailureKind.TIMED_OUT: "timeout",
    FailureKind.BROKEN: "failed",
    FailureKind.STALLED: "timeout",
    FailureKind.CANNOT_STREAM: "failed",
    FailureKind.UNUSABLE: "invalid",
    FailureKind.EMPTY: "invalid",
    FailureKind.CIRCUIT_OPEN: "unavailable",
}
