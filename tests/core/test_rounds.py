"""Rounds: the players it waits for, when it ends, and the prompt of its turn."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.rounds import NEVER, PLAYED, Round
from app.core.table_prompt import Deed
from app.core.tables import Seat
from hypothesis import given
from hypothesis import strategies as st

NAMES = ["ann", "bob", "cid"]
PLAYERS = [Seat(name, name.title(), character_id=f"c-{name}") for name in NAMES]


def deed(name: str, action: str = "waits") -> Deed:
    return Deed(user_id=name, player_name=name.title(), action=action)


def collected(*names: str, until: float | None = 100.0) -> Round:
    found = Round()
    for name in names:
        found = found.begun(name, f"key of {name}", until).with_deed(deed(name))
    return found


def test_round_opens_with_its_first_deed_and_keeps_its_user_key_and_deadline() -> None:
    assert (Round().opened, Round().due) == (False, None)
    found = collected("bob", "ann")
    assert (found.user_id, found.key, found.until) == ("bob", "key of bob", 100.0)
    assert found.words == "Bob: waits\nAnn: waits"


@pytest.mark.parametrize(
    ("found", "waiting", "over"),
    [
        (Round(), NAMES, False),
        (collected("ann"), ["bob", "cid"], False),
        (collected("ann", "bob", "cid"), [], True),
        (collected("ann").with_away("bob", away=True), ["cid"], False),
        (collected("ann", "cid").with_away("bob", away=True), [], True),
        (Round().with_away("ann", away=True), ["bob", "cid"], False),
        (collected("ann", until=10.0), ["bob", "cid"], True),
        (collected("ann", until=None), ["bob", "cid"], False),
    ],
)
def test_a_round_waits_for_whoever_has_not_acted(
    found: Round, waiting: list[str], over: bool
) -> None:
    assert [seat.user_id for seat in found.waits_for(PLAYERS)] == waiting
    assert found.is_over(PLAYERS, now=50.0) is over


def test_the_later_deed_of_a_player_counts_and_brings_them_back() -> None:
    found = collected("ann", "bob").with_away("ann", away=True).with_deed(deed("ann", "runs"))
    assert [(one.user_id, one.action) for one in found.deeds] == [("bob", "waits"), ("ann", "runs")]
    assert found.away == ()


def test_player_who_has_left_takes_no_part() -> None:
    closed = collected("ann", "bob").close(PLAYERS[1:], "skip")
    assert [one.user_id for one in closed.deeds] == ["bob"]
    assert (closed.closed, closed.due) == (True, 0.0)


def test_nothing_of_an_erased_user_is_left_and_the_deeds_of_others_are_known() -> None:
    alone = Round().begun("bob", "k", None).with_deed(deed("bob"), "b1")
    both = alone.with_deed(deed("ann"), "a1")
    for found, known in ((alone.without("bob"), False), (both.without("bob"), True)):
        assert "bob" not in found.model_dump_json()
        assert (found.has("bob", "b1"), found.has("ann", "a1")) == (False, known)
    assert not both.without("ann").without("bob").opened


@pytest.mark.parametrize(("absent", "played"), [("skip", []), ("model", ["bob", "cid"])])
def test_absent_player_does_nothing_or_is_played(absent: Any, played: list[str]) -> None:
    closed = collected("ann").close(PLAYERS, absent)
    found = [one for one in closed.deeds if one.played]
    assert [one.user_id for one in found] == played
    assert {one.action for one in found} <= {PLAYED}
    assert [one.character_id for one in found] == [f"c-{name}" for name in played]


def test_the_next_round_has_the_next_number_and_the_same_absentees() -> None:
    following = collected("ann").with_away("bob", away=True).next()
    assert following == Round(number=2, away=("bob",))


STEPS = st.tuples(st.sampled_from(["acts", "leaves", "returns"]), st.sampled_from(NAMES))


@given(st.lists(STEPS, max_size=20))
def test_every_player_has_acted_or_is_away_or_is_waited_for(steps: list[tuple[str, str]]) -> None:
    found = Round()
    for step, name in steps:
        if step == "acts":
            found = found.begun(name, "key", None).with_deed(deed(name))
        else:
            found = found.with_away(name, away=step == "leaves")
    acted = {one.user_id for one in found.deeds}
    waiting = {seat.user_id for seat in found.waits_for(PLAYERS)}
    assert waiting == set(NAMES) - acted - set(found.away)
    assert found.is_over(PLAYERS, now=0.0) is (bool(acted) and not waiting)
    assert found.due == (NEVER if acted else None)
    assert len(acted) == len(found.deeds)
    assert Round.model_validate_json(found.model_dump_json()) == found
