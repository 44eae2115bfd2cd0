"""Language models."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from app.core.prompt import Prompt
from app.core.results import Usage
from app.ports.call import CallMeta

Tell = Callable[[list[str]], bool]


"""Takes the text deltas that came in one upstream read. True once what follows is needed whole only,
so that it need not come piece by piece."""


class ModelEnd(NamedTuple):
    """The end of a whole answer; `usage` is None where the provider reported none."""

    usage: Usage | None
    model: str


class ModelFailed(Exception):
    """A model call failed.

    `transient`: the same call may succeed later. `opened`: the answer had begun, so the failure is
    a broken stream and not a refused request. `timeout`: it was a deadline. `no_streaming`: the
    server says that it cannot stream. `response`: the answer itself is unusable (truncated,
    filtered, refused). `unavailable`: nobody was asked, the circuit is open. `usage`: what the
    provider reported all the same. The message holds no text of the provider.
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        opened: bool = False,
        timeout: bool = False,
        no_streaming: bool = False,
        response: bool = False,
        unavailable: bool = False,
        retry_after: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.usage = usage
        self.transient = transient
        self.opened = opened
        self.timeout = timeout
        self.no_streaming = no_streaming
        self.response = response
        self.unavailable = unavailable
        self.retry_after = retry_after


class NarrativeModel(Protocol):
    """A teller. One call to `stream` or `complete` is one request: no retry beneath this port."""

    name: str
    api: str

    async def stream(self, prompt: Prompt, meta: CallMeta, tell: Tell) -> ModelEnd:
        """Calls `tell` as texts arrive, in the very call that receives them and not always in the
        task that awaits this: so no task has to wake up for a token. What `tell` raises ends the
        answer and is raised here. Raises `ModelFailed`.
        """
        ...

    async def complete(self, prompt: Prompt, meta: CallMeta) -> tuple[str, ModelEnd]:
        """The whole text at once. Raises `ModelFailed`."""
        ...

    async def available(self) -> bool: ...

    async def aclose(self) -> None: ...
