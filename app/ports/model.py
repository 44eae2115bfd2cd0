"""Language models: one request, one answer, streamed or whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from app.core.messages import Prompt
from app.core.results import Usage
from app.errors import Upstream
from app.ports.call import CallMeta


class Flow(Enum):
    """The delivery of the rest of an answer.

    Code that runs for each read of a stream keeps the members as names of its module: an attribute of an
    Enum class takes Python 3.11 ten times as long.
    """

    STREAM = auto()
    """At once, as it comes."""
    COALESCE = auto()
    """Whole only, so that it need not come piece by piece."""
    STOP = auto()
    """Not at all: the answer is complete, whatever the server still says."""


OnDelta = Callable[[list[str]], Flow]
"""Takes the text deltas that came in one upstream read."""


class Sampling(NamedTuple):
    """Sampling parameters; None leaves one to the server."""

    temperature: float | None = None
    top_p: float | None = None


SERVERS_OWN: Final = Sampling()
OFFLINE_MODEL: Final = "offline-storyteller"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """`max_output_tokens`: None leaves the bound to the server."""

    prompt: Prompt
    meta: CallMeta
    max_output_tokens: int | None = None
    sampling: Sampling = SERVERS_OWN


class ModelEnd(NamedTuple):
    """The end of a whole answer; `usage` is None where the provider reported none."""

    usage: Usage | None
    model: str


class FailureKind(Enum):
    """The kind of a failure, by its consequence for the next call."""

    REFUSED = auto()
    """The server says no, and would say it again."""
    TRANSIENT = auto()
    """No answer began; the same call may succeed later."""
    TIMED_OUT = auto()
    """No answer began in time."""
    BROKEN = auto()
    """The answer began and broke."""
    STALLED = auto()
    """The answer began and then nothing more came in time."""
    CONTEXT_FULL = auto()
    """The prompt, or the prompt and its answer, is longer than the model's context."""
    CANNOT_STREAM = auto()
    """The server answers whole only."""
    EMPTY = auto()
    """The answer holds nothing at all."""
    UNUSABLE = auto()
    """The answer itself cannot be used: it was cut off, filtered or refused."""
    CUT_OFF = auto()
    """The answer ended at a bound on tokens: the server's, ours, or the model's context."""
    RETRACTED = auto()
    """The server has sent a text and then said that it was not the answer."""
    CIRCUIT_OPEN = auto()
    """Nobody was asked, since the model keeps failing."""


class ModelFailed(Exception):
    """A model call failed. The message holds no text of the provider.

    `retry_after`: seconds, as the provider asks. `usage`: what it reported all the same. `upstream`:
    what it refused with. `busy`: the server was answering other calls meanwhile. `window` and
    `prompt_tokens`: the model's context and the prompt in tokens, where the provider named them.
    """

    def __init__(
        self,
        message: str,
        kind: FailureKind = FailureKind.REFUSED,
        *,
        retry_after: float | None = None,
        usage: Usage | None = None,
        upstream: Upstream | None = None,
        window: int | None = None,
        prompt_tokens: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.usage = usage
        self.upstream = upstream
        self.window = window
        self.prompt_tokens = prompt_tokens
        self.busy = False


class LanguageModel(Protocol):
    """One call to `stream` or `complete` is one request: nothing beneath this port retries."""

    name: str
    api: str

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        """Call `on_delta` as texts arrive, in the very call that receives them and not always in the
        task that awaits this: so no task has to wake up for a token. What `on_delta` raises ends the
        answer and is raised here. Raises `ModelFailed`.
        """
        ...

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        """The whole text at once. Raises `ModelFailed`."""
        ...

    async def available(self) -> bool:
        """Whether the last request reached the server."""
        ...

    async def aclose(self) -> None: ...


class ModelListing(NamedTuple):
    """`names`: of the models that chat. `context_tokens`: of the model that is asked for."""

    names: tuple[str, ...]
    context_tokens: int | None


class ProbedModel(LanguageModel, Protocol):
    """A model that shows how it is asked."""

    @property
    def forms(self) -> tuple[str, ...]:
        """Names of the forms in which it can be asked for a schema, the best first; the last one has the
        schema in the prompt only."""
        ...

    @property
    def complaints(self) -> Mapping[str, str]:
        """The server's own words, sanitised, by the part of a request that it refused; `request` for a
        request that it refused altogether."""
        ...

    @property
    def form(self) -> str | None:
        """The form of the latest request that the server accepted; None: none so far."""
        ...

    def pinned(self, form: str) -> ProbedModel:
        """The same model, asked in no better form than this. It shares the connections of this one, which
        alone is to be closed."""
        ...

    def leave_out(self, form: str) -> None:
        """Ask in no form of that name from now on."""
        ...

    async def listing(self) -> ModelListing | None:
        """The server's list of its models; None where it has none. Raises nothing."""
        ...
