"""The stages of a running turn, as a pure state machine: a table of transitions and one check.

Sources of the rules: a turn can be cancelled until it was validated (product contract, section 1); a
validated turn is written to its end by whoever owns it (the journal's phases, `ports/store.py`). The
journal keeps only what recovery needs; these stages are what the owning process knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Stage(Enum):
    """admitted: claimed, its task has not begun. queued: it waits for its exclusive key.
    preparing: its context is read. generating: policy, prompt and model call. validating: the
    answer is parsed and planned. awaiting: its outcome waits for a commit or a retelling.
    writing: a planned write is sent. settling: the fate of a sent
    write is looked up. cancelling: the journal has accepted a cancel. ended: nothing more happens.
    """

    ADMITTED = "admitted"
    QUEUED = "queued"
    PREPARING = "preparing"
    GENERATING = "generating"
    VALIDATING = "validating"
    AWAITING = "awaiting"
    WRITING = "writing"
    SETTLING = "settling"
    CANCELLING = "cancelling"
    ENDED = "ended"


_NEXT: Mapping[Stage, tuple[Stage, ...]] = {
    # An adopted turn goes on where the journal has it: in the queue, as interrupted, or writing.
    Stage.ADMITTED: (
        Stage.QUEUED,
        Stage.PREPARING,
        Stage.GENERATING,
        Stage.AWAITING,
        Stage.WRITING,
    ),
    Stage.QUEUED: (Stage.PREPARING,),
    Stage.PREPARING: (Stage.GENERATING,),
    Stage.GENERATING: (Stage.VALIDATING, Stage.AWAITING),
    Stage.VALIDATING: (Stage.AWAITING, Stage.WRITING),
    Stage.AWAITING: (Stage.GENERATING, Stage.WRITING),
    Stage.WRITING: (Stage.SETTLING,),
    Stage.SETTLING: (Stage.WRITING,),
    Stage.CANCELLING: (),
    Stage.ENDED: (),
}

CANCELLABLE = frozenset(
    {
        Stage.ADMITTED,
        Stage.QUEUED,
        Stage.PREPARING,
        Stage.GENERATING,
        Stage.VALIDATING,
        Stage.AWAITING,
    }
)

TRANSITIONS: Mapping[Stage, frozenset[Stage]] = {
    stage: frozenset(
        (
            *after,
            *((Stage.CANCELLING,) if stage in CANCELLABLE else ()),
            *((Stage.ENDED,) if stage is not Stage.ENDED else ()),
        )
    )
    for stage, after in _NEXT.items()
}
"""From every stage but the last a turn may end: it fails, or another owner takes it."""

AT_REST = frozenset({Stage.QUEUED, Stage.AWAITING})
"""A shutdown does not wait for turns in these stages: the journal has all that there is of them."""

READABLE = frozenset({Stage.QUEUED, Stage.GENERATING, Stage.AWAITING, Stage.WRITING})
"""Once a turn has been in one of these, its client gets a stream; before, a failure is a status."""


class IllegalTransition(Exception):
    """A defect of this service: the table does not allow the step."""


def advance(stage: Stage, to: Stage) -> Stage:
    """`to`, where the table allows it. Raises `IllegalTransition`."""
    if to not in TRANSITIONS[stage]:
        raise IllegalTransition(f"a turn cannot go from {stage.value} to {to.value}")
    return to
