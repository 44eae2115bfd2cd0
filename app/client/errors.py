"""Errors of the client."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The service has answered, and it was no. `type` as in `error.type` of its answer; `problem` is the
    whole answer; `retry_after` in seconds."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        error = problem.get("error") or {}
        self.status = status
        self.problem = problem
        self.type = str(error.get("type", "unknown"))
        self.recoverable = bool(error.get("recoverable", status >= 500))
        self.retry_after: float | None = error.get("retry_after_seconds")
        super().__init__(f"{status} {self.type}: {error.get('message', 'no message')}")


class Unreachable(Exception):
    """Nothing has been heard for as long as the client is patient. A turn goes on all the same: read it
    again later by its id."""
