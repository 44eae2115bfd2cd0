"""Answers that may be given again, and who is about to have one."""

from __future__ import annotations

from typing import Protocol


class AnswerStore(Protocol):
    """Bounded: the answers that expire first make room for new ones. While it cannot be used it holds
    nothing and says so in the log; it never raises for that. An empty answer is none."""

    def __len__(self) -> int:
        """The number of answers that this process knows of."""
        ...

    async def get(self, key: bytes) -> bytes | None:
        """The answer, while it is fresh."""
        ...

    async def put(self, key: bytes, answer: bytes) -> None: ...

    async def drop(self, key: bytes) -> None: ...

    async def expire(self) -> None:
        """Drop what is past its time."""
        ...


class Answers(Protocol):
    """Known answers, shared by all processes on the journal."""

    def kept(self, name: str, ttl: float, times: int = 1) -> AnswerStore:
        """The answers of that name, each for `ttl` seconds; 0: none are kept. `times` as many as usual have
        room."""
        ...

    async def replace(self, key: bytes, known: str, new: str, seconds: float) -> str:
        """Say for `seconds` that `new` is at work on the answer, where nobody is, or `known`. An empty
        `new`: nobody is any more. Returns who is at work instead; empty where it was done. While it cannot
        be found out, nobody is."""
        ...

    async def available(self) -> bool:
        """For health. May raise `StoreUnavailable`."""
        ...
