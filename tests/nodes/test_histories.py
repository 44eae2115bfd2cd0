"""The checker of histories refuses what no single process could have answered."""

from __future__ import annotations

import pytest
from histories import Operation, is_linearizable

POST, SECOND = (
    Operation("post", 0, 2, turn, "turn", key, "open") for turn, key in (("a", "k"), ("b", ""))
)
A_STARTS, A_COMMITS = Operation("start", 0, 3, "a"), Operation("commit", 3, 5, "a")
A_ENDS = Operation("end", 5, 6, "a", "complete")
B_STARTS, B_COMMITS = Operation("start", 0, 7, "b"), Operation("commit", 7, 8, "b")
B_ENDS = Operation("end", 8, 9, "b", "complete")
ONE = [POST, A_STARTS, A_COMMITS, A_ENDS]
BOTH = [*ONE, SECOND, B_STARTS, B_COMMITS, B_ENDS]
A_IS_CANCELLED = Operation("end", 0, 6, "a", "cancelled")


def again(answer: str, turn: str = "a", body: str = "open", called: float = 3) -> Operation:
    return Operation("post", called, called + 1, turn, answer, "k", body)


def cancel(answer: str, called: float, returned: float, turn: str = "a") -> Operation:
    return Operation("cancel", called, returned, turn, answer)


@pytest.mark.parametrize(
    "history",
    [
        [],
        ONE,
        BOTH,
        [*ONE, again("turn")],
        [*ONE, again("turn", called=0)],
        [*ONE, again("reused", "", "shut")],
        [*ONE, cancel("refused", 4, 7)],
        [*ONE, cancel("refused", 7, 8)],
        [POST, A_STARTS, cancel("taken", 2, 4), A_IS_CANCELLED],
        [POST, A_STARTS, cancel("taken", 2, 4), cancel("refused", 4, 5), A_IS_CANCELLED],
        [*ONE, SECOND, cancel("taken", 2, 4, "b"), Operation("end", 0, 5, "b", "cancelled")],
    ],
)
def test_possible_histories_are_accepted(history: list[Operation]) -> None:
    assert is_linearizable(history)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([*BOTH, B_STARTS._replace(returned=4)], id="two active turns"),
        pytest.param([*ONE, again("turn", "b")], id="a key bound twice"),
        pytest.param([*ONE, again("reused", "")], id="a key that was not reused"),
        pytest.param([*ONE, again("turn", "a", "shut")], id="a key attached to another body"),
        pytest.param([*ONE, again("busy", "")], id="a refusal before the key"),
        pytest.param([*ONE, cancel("taken", 7, 8)], id="a cancel after the end"),
        pytest.param([*ONE, cancel("taken", 2, 4)], id="complete in spite of a cancel"),
        pytest.param([POST, A_STARTS, A_IS_CANCELLED], id="cancelled by nobody"),
        pytest.param([*ONE, cancel("refused", 2.5, 3, "x")], id="a turn that never was"),
        pytest.param(
            [*ONE, SECOND._replace(answer="busy", turn="", called=7, returned=8)],
            id="busy when free",
        ),
        pytest.param(
            [
                *ONE,
                SECOND._replace(called=2.5, returned=3),
                Operation("post", 4, 5, "c", "turn"),
                Operation("start", 4, 7, "c"),
                Operation("commit", 4, 8, "c"),
                Operation("end", 4, 9, "c", "complete"),
                B_STARTS._replace(returned=19, called=10),
                B_COMMITS._replace(returned=20),
                B_ENDS._replace(returned=21),
            ],
            id="out of turn",
        ),
    ],
)
def test_impossible_histories_are_refused(history: list[Operation]) -> None:
    assert not is_linearizable(history)
