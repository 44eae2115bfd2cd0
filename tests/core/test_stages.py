"""The stages of a turn: every sequence that the table allows, and none that it does not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from app.core.stages import CANCELLABLE, TRANSITIONS, IllegalTransition, Stage, advance
from hypothesis import given
from hypothesis import strategies as st

steps = st.lists(st.sampled_from(Stage), max_size=30)


def walk(asked: list[Stage]) -> list[Stage]:
    """The stages of a turn that takes the legal steps of those asked for, in order."""
    seen = [Stage.ADMITTED]
    for to in asked:
        if to in TRANSITIONS[seen[-1]]:
            seen.append(advance(seen[-1], to))
        else:
            with pytest.raises(IllegalTransition):
                advance(seen[-1], to)
    return seen


@given(steps)
def test_only_listed_transitions_are_taken(asked: list[Stage]) -> None:
    seen = walk(asked)
    assert all(to in TRANSITIONS[stage] for stage, to in pairwise(seen))


@given(steps)
def test_only_writing_and_settling_repeat(asked: list[Stage]) -> None:
    once = [stage for stage in walk(asked) if stage not in (Stage.WRITING, Stage.SETTLING)]
    assert len(once) == len(set(once))


@given(steps)
def test_a_validated_turn_is_never_cancelled(asked: list[Stage]) -> None:
    seen = walk(asked)
    if Stage.WRITING in seen:
        assert Stage.CANCELLING not in seen


@given(steps)
def test_a_cancelled_turn_does_nothing_but_end(asked: list[Stage]) -> None:
    seen = walk(asked)
    if Stage.CANCELLING in seen:
        assert seen[seen.index(Stage.CANCELLING) + 1 :] in ([], [Stage.ENDED])


@given(steps)
def test_nothing_follows_the_end(asked: list[Stage]) -> None:
    seen = walk(asked)
    assert Stage.ENDED not in seen[:-1]


@pytest.mark.parametrize("stage", Stage)
def test_a_cancel_is_allowed_until_the_turn_was_validated(stage: Stage) -> None:
    assert (Stage.CANCELLING in TRANSITIONS[stage]) is (stage in CANCELLABLE)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.ENDED])
def test_an_unended_turn_may_end(stage: Stage) -> None:
    assert advance(stage, Stage.ENDED) is Stage.ENDED


def test_every_stage_is_reachable() -> None:
    reached, found = {Stage.ADMITTED}, {Stage.ADMITTED}
    while found:
        found = {to for stage in found for to in TRANSITIONS[stage]} - reached
        reached |= found
    assert reached == set(Stage)
