"""Classification of model failures: for the next call, the error and the statistics."""

from __future__ import annotations

import asyncio
from typing import Final, assert_never

from app.errors import (
    DungeonMasterError,
    LLMError,
    LLMResponseError,
    LLMTimeout,
    LLMUnavailable,
    Upstream,
)
from app.generation.observe import CallOutcome
from app.ports.model import FailureKind, ModelFailed

MAX_RETRY_AFTER: Final = 20.0
"""Seconds that a story waits for one model; where it asks for more, the next one is asked."""

RETRIED: Final = frozenset({FailureKind.TRANSIENT, FailureKind.TIMED_OUT, FailureKind.EMPTY})
"""The same call may succeed later."""
WORTH_THE_WHOLE: Final = frozenset(
    {
        FailureKind.BROKEN,
        FailureKind.STALLED,
        FailureKind.CANNOT_STREAM,
        FailureKind.EMPTY,
        FailureKind.RETRACTED,
    }
)
"""The same prompt may succeed without streaming."""
OUT_OF_CONTEXT: Final = frozenset({FailureKind.CONTEXT_FULL, FailureKind.CUT_OFF})
"""A shorter prompt may succeed."""
ANSWERED: Final = frozenset({FailureKind.UNUSABLE, FailureKind.CUT_OFF, FailureKind.RETRACTED})
"""The model has answered, so that no other one is asked."""
FREE: Final = frozenset(
    {
        FailureKind.REFUSED,
        FailureKind.TRANSIENT,
        FailureKind.CONTEXT_FULL,
        FailureKind.CANNOT_STREAM,
        FailureKind.CIRCUIT_OPEN,
    }
)
"""The model has read and written nothing."""
MAY_BE_WHOLE: Final = frozenset(
    {FailureKind.BROKEN, FailureKind.STALLED, FailureKind.UNUSABLE, FailureKind.CUT_OFF}
)
"""What came before the failure may be a complete answer."""
NO_FAULT: Final = frozenset(
    {
        FailureKind.UNUSABLE,
        FailureKind.EMPTY,
        FailureKind.CANNOT_STREAM,
        FailureKind.CONTEXT_FULL,
        FailureKind.CUT_OFF,
        FailureKind.RETRACTED,
    }
)
"""The model answered, so its health is not in question."""


def worth_retrying(error: Exception) -> bool | float:
    """Whether to try again; a number is the provider's own Retry-After in seconds."""
    if not isinstance(error, ModelFailed) or error.kind not in RETRIED:
        return False
    if error.retry_after is not None:
        return error.retry_after if error.retry_after <= MAX_RETRY_AFTER else False
    return True


def as_error(failure: ModelFailed, *, bound: str | None = None) -> DungeonMasterError:
    """The error that clients get. `bound`: the setting by which we have bounded the answer's tokens."""
    match failure.kind:
        case FailureKind.CIRCUIT_OPEN:
            return LLMUnavailable(retry_after=failure.retry_after)
        case FailureKind.TIMED_OUT | FailureKind.STALLED:
            return LLMTimeout()
        case FailureKind.UNUSABLE | FailureKind.EMPTY | FailureKind.RETRACTED:
            return LLMResponseError(f"{failure}; nothing was saved.")
        case FailureKind.CUT_OFF:
            return LLMResponseError(f"{failure} {_cut_off_by(bound)}; nothing was saved.")
        case FailureKind.CONTEXT_FULL:
            return LLMError("The model failed: its context is full.", upstream=_upstream(failure))
        case (
            FailureKind.REFUSED
            | FailureKind.TRANSIENT
            | FailureKind.BROKEN
            | FailureKind.CANNOT_STREAM
        ):
            return LLMError(
                f"The model failed: {failure}.",
                retry_after=failure.retry_after,
                recoverable=_is_outage(failure),
                upstream=failure.upstream,
            )
        case _:
            assert_never(failure.kind)


def _cut_off_by(bound: str | None) -> str:
    if bound is not None:
        return f"at its bound ({bound}) or since its context was full"
    return "since its context was full (prompt and answer share it; see LLM_CONTEXT_TOKENS)"


def _upstream(failure: ModelFailed) -> Upstream:
    return failure.upstream or Upstream(
        hint="The context is full even with the shortest prompt: raise LLM_CONTEXT_TOKENS, "
        "or use a model with a larger context in OPENAI_MODEL."
    )


def _is_outage(failure: ModelFailed) -> bool:
    """Whether the same request may succeed once the provider is well again."""
    status = failure.upstream.status if failure.upstream else None
    return failure.kind in (FailureKind.TRANSIENT, FailureKind.BROKEN) or status == 429


def call_outcome(error: BaseException) -> CallOutcome:
    """The outcome label of a call that ended with `error`."""
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
    FailureKind.CONTEXT_FULL: "failed",
    FailureKind.CUT_OFF: "invalid",
    FailureKind.RETRACTED: "invalid",
    FailureKind.CIRCUIT_OPEN: "unavailable",
}
