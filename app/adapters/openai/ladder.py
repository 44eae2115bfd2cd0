"""Which optional parts of a request one model's server takes, found out by its refusals.

A refused request is made again without one of its parts, until the server takes it or nothing
optional is left. The server's words choose only which part goes first. What is certain then is
remembered: the part whose absence helped, those of its group that were refused before it, and every
part that the words named.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from typing import Final

from app.adapters.openai.refusals import Refusal
from app.adapters.openai.requests import ApiFormat, Draft

PATIENCE_SECONDS: Final = 60.0
"""How long a server that refuses the barest request is not asked part by part again."""

_NEVER: Final = frozenset({401, 402, 403, 408, 409, 429})


class Ladder:
    """`now`: monotonic seconds. `without`: parts that are left out from the start.

    `last`: the parts of the latest request that the server took.
    """

    def __init__(
        self,
        api: ApiFormat,
        now: Callable[[], float] = time.monotonic,
        without: Collection[str] = (),
    ) -> None:
        self._api = api
        self._now = now
        self._words = {part: re.compile(words, re.I) for part, words in api.words.items()}
        self.without = set(without)
        self.last: tuple[str, ...] | None = None
        self._taken: set[str] = set()
        self._no_walk_until = 0.0
        self._bound: int | None = None

    def bound(self, asked: int | None) -> int | None:
        """The bound on output tokens, as low as the server has asked for it."""
        if asked is None or self._bound is None:
            return asked
        return min(asked, self._bound) or None

    def lower_bound(self, bound: int) -> None:
        """Remember a bound that the server takes; 0 for none at all."""
        self._bound = bound

    def doubted(self, refusal: Refusal, draft: Draft) -> tuple[str, bool] | None:
        """The part of a refused request to leave out, and whether the server has named it.

        A server error that names nothing is no complaint about what the server has taken before.
        """
        status = refusal.status
        if not _may_be_the_request(status):
            return None
        for part, words in self._words.items():
            if part in draft.parts and words.search(refusal.words):
                return part, True
        if self._known_reason(refusal):
            return None
        if self._taken.issuperset(draft.parts):
            if status != 500:  # the server may be another one by now
                self._taken.clear()
            return None
        untaken = (part for part in draft.parts if part not in self._taken)
        return next(untaken), False

    def _known_reason(self, refusal: Refusal) -> bool:
        """Whether leaving out a part is not worth a try."""
        walked = self._now() < self._no_walk_until
        return refusal.unknown_model or refusal.no_such_path or walked

    def nothing_left(self, refusal: Refusal, draft: Draft) -> bool:
        """Whether the barest request was refused, and nothing says why."""
        doubtful = _may_be_the_request(refusal.status) and not refusal.context_full
        return doubtful and not draft.parts and not self._known_reason(refusal)

    def took(self, draft: Draft, left_out: list[tuple[str, bool]]) -> None:
        """The server took the request, after these parts were left out."""
        self.last = draft.parts
        self._taken.update(draft.parts)
        if not left_out:
            return
        last = left_out[-1][0]
        certain = {part for part, named in left_out if named} | {last}
        group = next((group for group in self._api.groups if last in group), ())
        before = {part for part, _ in left_out if part in group}
        self.without |= certain | before

    def refused_all(self) -> None:
        """The server refused the request without anything optional in it."""
        self._no_walk_until = self._now() + PATIENCE_SECONDS


def _may_be_the_request(status: int | None) -> bool:
    """Whether a server that cannot read a request may answer so."""
    return status is not None and status not in _NEVER and (400 <= status <= 501)
