"""Rounds: the players it waits for, when it ends, and the prompt of its turn."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.rounds import MOST_BY_ITSELF, NEVER, PLAYED, Round
from app.core.table_prompt import Deed, Roll
from app.core.tables import Seat
from app.core.writes import MAX_ACTION
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


# -- rounds whose turn fails --------------------------------------------------------------------------


def behind(found: Round, absent: Any = "skip") -> Round:
    """The next round, while a turn plays that one."""
    return found.close(PLAYERS, absent).next("turn")


def actions(found: Round) -> list[tuple[str, str]]:
    return [(one.user_id, one.action) for one in found.deeds]


def test_round_waits_for_the_turn_of_the_one_before() -> None:
    following = behind(collected("ann", "bob", "cid"))
    assert (following.due, following.is_over(PLAYERS, 0.0)) == (0.0, False)
    for name in NAMES:
        following = following.begun(name, "k2", None).with_deed(deed(name))
    assert not following.is_over(PLAYERS, now=1e9)
    assert following.with_turn(None).is_over(PLAYERS, now=0.0)


def test_reopened_round_is_the_same_one_and_waits_for_something_new() -> None:
    closed = collected("ann", "bob", "cid").close(PLAYERS, "skip")
    opened = closed.next("turn").reopened("k2", 100.0)
    assert (opened.number, opened.key, opened.user_id) == (1, "k2", "ann")
    assert (opened.deeds, opened.before, opened.closed) == (closed.deeds, None, False)
    assert opened.waits_for(PLAYERS) == []
    assert [opened.is_over(PLAYERS, now) for now in (50.0, 100.0)] == [False, True]
    acted = opened.begun("bob", "other", 200.0).with_deed(deed("bob", "runs"))
    assert (acted.key, acted.until, acted.is_over(PLAYERS, 50.0)) == ("k2", 200.0, True)
    assert dict(actions(acted)) == {"ann": "waits", "bob": "runs", "cid": "waits"}


def test_whom_the_model_has_played_decides_again_in_a_reopened_round() -> None:
    assert actions(behind(collected("ann"), "model").reopened("k2", None)) == [("ann", "waits")]
    alone = Round().begun("olga", "k", None).close(PLAYERS, "model").next("turn")
    again = alone.reopened("k2", None)
    assert (again.opened, again.before) == (False, None)


def test_round_that_fails_again_and_again_is_not_played_by_itself_for_ever() -> None:
    found, deadlines = collected(*NAMES), []
    for attempt in range(MOST_BY_ITSELF + 2):
        found = behind(found).reopened(f"k{attempt}", 100.0)
        deadlines.append(found.until)
    assert deadlines == [100.0] * MOST_BY_ITSELF + [None] * 2
    assert not found.is_over(PLAYERS, now=1e9)
    assert found.with_deed(deed("ann")).is_over(PLAYERS, now=0.0)


def test_deeds_of_a_failed_round_join_those_of_the_next_one_and_none_is_lost() -> None:
    following = behind(collected("ann", "bob")).begun("bob", "k2", 7.0)
    following = following.with_deed(deed("bob", "runs")).with_deed(deed("cid", "sings"))
    both = following.reopened("k3", 100.0)
    assert actions(both) == [("ann", "waits"), ("bob", "waits\nruns"), ("cid", "sings")]
    assert (both.number, both.key, both.until, both.failed) == (2, "k2", 7.0, 0)


def test_two_deeds_of_one_player_are_one_with_the_later_roll_and_all_references() -> None:
    rolls = [Roll(roll_type=one, dice="1d20", result=7) for one in ("a", "b")]
    first = Deed(user_id="ann", player_name="A", action="x", roll=rolls[0], references=("r", "s"))
    for roll, expected in ((rolls[1], rolls[1]), (None, rolls[0])):
        second = first.model_copy(update={"action": "y", "roll": roll, "references": ("s", "t")})
        found = behind(Round().begun("ann", "k", None).with_deed(first))
        (one,) = found.begun("ann", "k2", None).with_deed(second).reopened("k3", None).deeds
        assert (one.action, one.roll, one.references) == ("x\ny", expected, ("r", "s", "t"))


def test_later_deed_takes_the_place_of_the_earlier_one_where_there_is_no_room_for_both() -> None:
    found = behind(collected("ann")).begun("ann", "k2", None)
    long = "y" * (MAX_ACTION - len("waits"))
    for action, kept in ((long, long), (long[1:], f"waits\n{long[1:]}")):
        both = found.with_deed(deed("ann", action)).reopened("k3", None)
        assert actions(both) == [("ann", kept)]


def test_round_played_again_has_another_key_and_only_players_who_are_there() -> None:
    following = behind(collected("ann", "bob"))
    again = following.again("k2", PLAYERS[1:])
    assert again.before is not None
    assert (again.number, again.before.number, again.before.turn_id) == (2, 1, None)
    assert (again.before.key, again.before.failed, actions(again.before)) == (
        "k2",
        1,
        [("bob", "waits")],
    )
    assert following.again("k2", []).before is None


def test_nothing_of_an_erased_user_is_left_in_a_round_that_is_played() -> None:
    following = behind(collected("ann", "bob"))
    left = following.without("bob")
    assert "bob" not in left.model_dump_json()
    assert left.before is not None
    assert left.without("ann").before is None
    acted = following.begun("cid", "k2", None).with_deed(deed("cid")).without("bob")
    assert acted.before is not None
    assert "bob" not in acted.model_dump_json()


def test_forced_round_is_over_once_the_one_before_is() -> None:
    forced = behind(collected("ann")).begun("bob", "k2", None).with_deed(deed("bob"))
    forced = forced.model_copy(update={"forced": True})
    assert not forced.is_over(PLAYERS, now=0.0)
    assert forced.reopened("k3", None).is_over(PLAYERS, now=0.0)
    assert Round.model_validate_json(forced.model_dump_json()) == forced
