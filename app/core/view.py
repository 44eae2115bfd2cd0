"""The state of a turn as the fold of its events: what `GET /turns/{id}` shows and the store keeps."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.core.events import (
    Cancelled,
    Complete,
    Draft,
    Failed,
    FieldShown,
    Metadata,
    Options,
    Preview,
    SceneShown,
    Terminal,
    Token,
    TurnEvent,
    Write,
)
from app.core.wire import UpstreamRefusal, refusal_fields


class TurnError(TypedDict):
    type: str
    message: str
    recoverable: bool
    retry_after_seconds: float | None
    phase: str
    committed: Annotated[list[str], Field(description="The subsystems already written.")]
    upstream: NotRequired[UpstreamRefusal]


class TurnView:
    """Mutable accumulator of one turn; `apply` must see every event once, in order.

    `length`: of all `parts` together, in characters. `extras`: what a table's turn has beside its
    narrative, by the names that results have for it. `draft`: what there is has to be approved.
    """

    __slots__ = (
        "committed",
        "draft",
        "extras",
        "length",
        "parts",
        "phase",
        "previewed",
        "terminal",
        "tokens",
        "until",
    )

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.tokens = 0
        self.phase = "queued"
        self.until: str | None = None
        self.committed: list[str] = []
        self.previewed = False
        self.extras: dict[str, Any] = {}
        self.draft = False
        self.terminal: Terminal | None = None

    @property
    def narrative(self) -> str:
        return "".join(self.parts)

    @property
    def player_response(self) -> str:
        return str(self.extras.get("player_response", ""))

    @property
    def shown(self) -> str:
        """The narrative as far as everybody may read it."""
        return "" if self.draft else self.narrative

    def apply(self, event: TurnEvent) -> None:
        match event:
            case Token(content, _, "player_response") | Draft(content, _, "player_response"):
                self.extras["player_response"] = self.player_response + content
            case Token(content) | Draft(content):
                self.parts.append(content)
                self.length += len(content)
                self.draft = isinstance(event, Draft)
            case Metadata(phase, _, fields):
                self.phase, self.until = phase, fields.get("until")
                if phase == "retelling":
                    self._forget()
            case Write(subsystem, _, True, _):
                self.committed.append(subsystem)
            case Preview():
                self.previewed = True
            case Options(player_options):
                self.extras["player_options"] = list(player_options)
            case SceneShown(scene, dm_notes):
                self.extras["scene"] = {**scene, "dm_notes": dm_notes}
            case Write() | FieldShown():
                pass
            case Complete() | Failed() | Cancelled():
                self.terminal = event

    def _forget(self) -> None:
        """Drop the narrative so far: it does not count any more."""
        self.parts, self.length, self.tokens = [], 0, 0
        self.previewed, self.draft, self.extras = False, False, {}

    def result(self) -> dict[str, Any]:
        """Final fields of the turn by name; those that its ending does not have are null."""
        return {**({} if self.draft else self.extras), **self._result()}

    def _result(self) -> dict[str, Any]:
        narrative = self.shown
        match self.terminal:
            case Complete() as end:
                return {
                    "narrative": narrative,
                    "intents": dict(end.intents),
                    "subsystem_summary": end.subsystem_summary.model_dump(),
                    "timing": end.timing.model_dump(),
                    "usage": end.usage.model_dump(),
                    "validation": end.validation.model_dump(),
                    **({} if end.chat is None else {"chat": dict(end.chat)}),
                    **({} if end.content is None else {"content": dict(end.content)}),
                }
            case Failed() as end:
                return {"narrative": narrative, "error": _error(end)}
            case Cancelled(phase):
                return {"narrative": narrative, "phase": phase}
            case None:
                return {"narrative": narrative, "phase": self.phase}


def _error(end: Failed) -> TurnError:
    error = TurnError(
        type=end.error_type,
        message=end.message,
        recoverable=end.recoverable,
        retry_after_seconds=end.retry_after_seconds,
        phase=end.phase,
        committed=list(end.committed),
    )
    if end.upstream is not None:
        error["upstream"] = refusal_fields(end.upstream)
    return error
