"""Whether what clients of several nodes were answered is what one process could have answered.

A history is what was asked and answered, each with the time of the call and of the answer. It is
linearizable when there is an order of its operations that keeps those which did not overlap in their order,
and in which the specification gives every answer. The search is Wing's and Gong's, which remembers where
it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

QUEUE_LIMIT = 4
Kind = Literal["post", "cancel", "start", "commit", "end"]


class Operation(NamedTuple):
    """On one character. `answer` to a post: turn, busy, reused; to a cancel: taken, refused; of an end:
    complete, cancelled. `start`, `commit` and `end` are the service's own: they took place between the
    call of the post that made the turn and the first event that shows them."""

    kind: Kind
    called: float
    returned: float
    turn: str = ""
    answer: str = ""
    key: str = ""
    body: str = ""


class Character(NamedTuple):
    """The specification: one active turn, a queue, keys that are bound once."""

    active: str = ""
    committed: bool = False
    queue: tuple[str, ...] = ()
    cancelling: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    bound: frozenset[tuple[str, str, str]] = frozenset()

    def after(self, done: Operation) -> Character | None:
        """None: this answer is wrong here."""
        match done.kind:
            case "post":
                return self._posted(done)
            case "cancel":
                return self._cancelled(done)
            case "start":
                return self._started(done.turn)
            case "commit":
                free = self.active == done.turn and done.turn not in self.cancelling
                return self._replace(committed=True) if free and not self.committed else None
            case "end":
                return self._ended(done)

    def _posted(self, done: Operation) -> Character | None:
        for key, body, turn in self.bound:
            if key == done.key:
                reused = body != done.body
                right = done.answer == ("reused" if reused else "turn")
                return self if right and (reused or turn == done.turn) else None
        full = len(self.queue) >= QUEUE_LIMIT
        if done.answer != "turn":
            return self if done.answer == "busy" and full else None
        return None if full or done.turn in self.known else self._admitted(done)

    def _admitted(self, done: Operation) -> Character:
        made = self._replace(known=self.known | {done.turn})
        if done.key:
            made = made._replace(bound=self.bound | {(done.key, done.body, done.turn)})
        if self.active or self.queue:
            return made._replace(queue=(*self.queue, done.turn))
        return made._replace(active=done.turn, committed=False)

    def _started(self, turn: str) -> Character | None:
        if self.active == turn:
            return self
        if self.active or self.queue[:1] != (turn,):
            return None
        return self._replace(active=turn, committed=False, queue=self.queue[1:])

    def _cancelled(self, done: Operation) -> Character | None:
        turn = done.turn
        queued = turn in self.queue
        running = self.active == turn and not self.committed and turn not in self.cancelling
        if done.answer == "refused" or not (queued or running):
            refused = done.answer == "refused" and not (queued or running)
            return self if refused and turn in self.known else None
        queue = tuple(other for other in self.queue if other != turn)
        return self._replace(queue=queue, cancelling=self.cancelling | {turn})

    def _ended(self, done: Operation) -> Character | None:
        turn, was_cancelled = done.turn, done.turn in self.cancelling
        if was_cancelled != (done.answer == "cancelled"):
            return None
        if not was_cancelled and not (self.active == turn and self.committed):
            return None
        made = self._replace(cancelling=self.cancelling - {turn})
        return made._replace(active="", committed=False) if self.active == turn else made


def is_linearizable(history: Sequence[Operation]) -> bool:
    """Of one character, from its beginning."""
    done = sorted(history, key=lambda operation: operation.returned)
    everything = (1 << len(done)) - 1
    seen: set[tuple[int, Character]] = set()
    ahead = [(0, Character())]
    while ahead:
        at = ahead.pop()
        if at[0] == everything:
            return True
        if at not in seen:
            seen.add(at)
            ahead += reversed(list(_next(done, *at)))
    return False


def _next(
    done: Sequence[Operation], taken: int, state: Character
) -> Iterator[tuple[int, Character]]:
    """By each operation that was called before the first answer of those that are left."""
    left = [number for number in range(len(done)) if not taken >> number & 1]
    first_answer = done[left[0]].returned
    for number in left:
        if done[number].called <= first_answer:
            after = state.after(done[number])
            if after is not None:
                yield taken | 1 << number, after
