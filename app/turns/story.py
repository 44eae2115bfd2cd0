"""The differences between kinds of turn; everything else is in the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.core.context import Context
from app.core.messages import Prompt
from app.core.outcome import DungeonMasterOutcome
from app.core.prompt import Scene, build_prompt
from app.core.record import Hold
from app.core.tables import NewLine
from app.core.wire import MetadataFields
from app.core.writes import Journey
from app.errors import DungeonMasterError
from app.ports.moderation import Moderator
from app.ports.store import TurnRequest
from app.turns.narration import Narration
from app.turns.observe import TokensStreamed
from app.turns.state import TurnState


@dataclass(frozen=True, slots=True)
class Saved:
    """The stored parts of an outcome. `text` is written to journey-log as the answer. `extras` and
    `lines`: see `CommitRecord`. `journeys`: in a round, the characters whose actions were played.
    `roll_conflicts`: see `Validation`."""

    text: str
    extras: dict[str, Any]
    lines: tuple[NewLine, ...] = ()
    journeys: tuple[Journey, ...] = ()
    roll_conflicts: tuple[str, ...] = ()


class Story:
    """A character's own turns. Those of another kind extend it and are added to `Stories`."""

    def fields(self, turn: TurnState) -> MetadataFields:
        """Further fields of the `start` event."""
        return {}

    def context(self, turn: TurnState) -> Context | None:
        """The context of a turn without a character; None: it is read from journey-log."""
        return None

    async def spare_context(self, turn: TurnState, error: DungeonMasterError) -> Context | None:
        """The context of a turn whose character cannot be read; None: it fails with the error."""
        return None

    async def scene(self, turn: TurnState, scene: Scene) -> Scene:
        """The scene with what this kind of turn adds to it."""
        return scene

    def prompt(self, scene: Scene) -> Prompt:
        """The prompt for the scene."""
        return build_prompt(scene)

    def moderator(self, scene: Scene) -> Moderator | None:
        """A moderator for the answer in addition to the service's own; None for no further one."""
        return None

    def narration(
        self, turn: TurnState, narrative_bytes: int, observe: Callable[[TokensStreamed], None]
    ) -> Narration:
        """The consumer that reads the model's answer while it forms."""
        return Narration(turn, narrative_bytes, observe)

    async def complete(
        self, turn: TurnState, scene: Scene, outcome: DungeonMasterOutcome
    ) -> DungeonMasterOutcome:
        """The outcome with what it lacks; called between the last token and validation."""
        return outcome

    def drafts(self, scene: Scene) -> bool:
        """Whether somebody has to approve the outcome before everybody may read it."""
        return False

    def hold(self, turn: TurnState, scene: Scene) -> Hold | None:
        """Why the outcome is not written at once, if it is not."""
        manual = turn.request.commit == "manual"
        return Hold(reason="awaiting_commit") if manual else None

    def saved(self, turn: TurnState, scene: Scene, outcome: DungeonMasterOutcome) -> Saved:
        """The parts of the outcome that are stored."""
        return Saved(outcome.narrative, {})


class Stories:
    """The stories by the kind of the request."""

    def __init__(self) -> None:
        self._own = Story()
        self._kinds: dict[str, Story] = {}

    def add(self, kind: str, story: Story) -> None:
        """Turns of that kind are played by `story` from now on."""
        self._kinds[kind] = story

    def of(self, request: TurnRequest) -> Story:
        """The story that plays this request."""
        return self._kinds.get(request.kind, self._own)
