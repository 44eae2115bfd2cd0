"""The right to carry a turn, how far one has come, and turns whose owner is gone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, assert_never

from app.core.events import Entry
from app.core.record import CommitRecord
from app.ports.turn import TurnRequest


class Claim(NamedTuple):
    """The right to carry a turn. It is lost for good once somebody else has a higher fence."""

    turn_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class DeliveryProgress:
    """Progress of the writes of a turn; times in epoch seconds.

    Writes up to `step` have a known fate. Write `intent`, where it is ahead of `step`, may have been
    sent: first at `first_sent_at`, last at `sent_at`.
    """

    step: int = 0
    intent: int = 1
    sent_at: float = 0.0
    first_sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Writing:
    """The journal's phase of a validated turn, with what its writes need."""

    record: CommitRecord
    delivery: DeliveryProgress


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice for an outcome that awaits its commit: to commit it, to retell it, with `guidance` for
    the model, or to cancel its turn; expire: nobody has chosen in time, which cancels it, too. `telling`:
    which outcome of the turn is meant, see `CommitRecord`; None: whichever waits."""

    kind: Literal["commit", "retell", "cancel", "expire"]
    guidance: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of what is approved, see `Changes`."""
    telling: int | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def phase(self) -> Literal["committing", "retelling", "cancelling"]:
        """The journal's phase from then on."""
        match self.kind:
            case "commit":
                return "committing"
            case "retell":
                return "retelling"
            case "cancel" | "expire":
                return "cancelling"
            case _:
                assert_never(self.kind)


@dataclass(frozen=True, slots=True)
class Held:
    """The journal's phase of a validated turn that is not committed. awaiting: nobody has chosen.
    retelling: another generation was asked for. committing: it is to be written."""

    phase: Literal["awaiting", "retelling", "committing"]
    record: CommitRecord


OrphanPhase = Literal["queued", "streaming", "cancelling"] | Held | Writing


@dataclass(frozen=True, slots=True)
class Orphan:
    """A turn whose owner is gone, now claimed by this process."""

    claim: Claim
    request: TurnRequest
    phase: OrphanPhase
    created_at: float
    entries: list[Entry]
