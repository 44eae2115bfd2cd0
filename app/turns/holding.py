"""Outcomes that await their commit: recorded, shown, and shown again where a retelling has failed."""

from __future__ import annotations

import asyncio
from typing import Final

from app.core.approval import Changes, approved
from app.core.events import Metadata, Options, Preview, SceneShown, Token, TurnEvent, stamp
from app.core.record import CommitRecord, Hold, Recording
from app.core.shortening import pieces
from app.core.stages import Stage
from app.core.wire import MetadataFields
from app.ports.store import Choice, TurnStore
from app.turns.persistence import CancelledFirst, commit, retry_until_stored
from app.turns.state import TurnState

COMMIT_SECONDS: Final = 600.0
AWAITING: Final = Hold(reason="awaiting_commit")


class Holding:
    """`seconds`: how long an outcome waits before its turn is cancelled."""

    def __init__(self, store: TurnStore, seconds: float = COMMIT_SECONDS) -> None:
        self._store = store
        self._seconds = seconds

    async def hold(self, turn: TurnState, record: CommitRecord, hold: Hold | None) -> CommitRecord:
        """Record a validated outcome, then show that it waits; the record with its time.

        Raises `CancelledFirst` or `LostTurn`.
        """
        hold = hold or AWAITING
        until = turn.clock.now() + (hold.seconds or self._seconds)
        held = record.model_copy(update={"until": until, "hold": hold, **turn.spent_fields()})
        tokens = turn.writer.view.tokens
        fields = MetadataFields(until=stamp(until))
        if hold.reason == "approval":
            fields["telling"] = held.telling
        awaiting = Metadata(hold.reason, tokens, fields)
        entries = turn.writer.draft(Metadata("validation", tokens), awaiting)
        await commit(lambda: self._store.hold(turn.claim, held, entries, turn.recording()))
        turn.advance(Stage.AWAITING)
        turn.writer.publish(entries)
        return held

    async def hold_again(
        self, turn: TurnState, record: CommitRecord, recording: Recording, error_type: str
    ) -> CommitRecord:
        """Show the earlier outcome once more, since a retelling has failed, and hold it."""
        fields = MetadataFields(error_type=error_type)
        turn.writer.append(Metadata("retelling", 0, fields))
        _show(turn, record)
        turn.go_back(record, recording)
        return await self.hold(turn, record, record.hold)

    def chosen(self, turn: TurnState, record: CommitRecord, choice: Choice) -> CommitRecord:
        """The outcome as it was chosen. What was approved or edited is shown to everybody now."""
        if not (turn.writer.drafts or choice.changes):
            return record
        changed = approved(record, Changes.model_validate(choice.changes))
        turn.writer.drafts = False
        turn.writer.append(Metadata("retelling", record.tokens_streamed))
        _show(turn, changed)
        return changed

    async def choice(self, turn: TurnState, record: CommitRecord) -> Choice:
        """Wait for the choice about a held outcome. Raises `CancelledFirst` after `record.until`."""
        try:
            async with asyncio.timeout(max(record.until - turn.clock.now(), 0)):
                return await turn.chosen()
        except TimeoutError:
            pass
        if (otherwise := await self._time_is_up(turn, record)) is not None:
            return otherwise
        await commit(lambda: self._store.note(turn.claim, ()))  # the claim may be lost
        return await turn.chosen()  # somebody was faster, and the news is on its way

    async def _time_is_up(self, turn: TurnState, record: CommitRecord) -> Choice | None:
        """None: somebody was faster. Raises `CancelledFirst`."""
        approved = record.hold is not None and record.hold.reason == "approval"
        otherwise = Choice("commit" if approved else "expire")
        taken = await retry_until_stored(lambda: self._store.choose(turn.turn_id, otherwise))
        if taken and not approved:
            raise CancelledFirst
        return otherwise if taken else None


def _show(turn: TurnState, record: CommitRecord) -> None:
    """Append the events of the held outcome. Where drafts are shown, only its narrative tokens are
    appended."""
    writer = turn.writer
    for event in _shown(record):
        if isinstance(event, Token) or not writer.drafts:
            writer.append(event)
    writer.view.tokens = record.tokens_streamed


def _shown(record: CommitRecord) -> list[TurnEvent]:
    """The events of an outcome that readers have seen, as few as possible."""
    extras = record.extras
    response = pieces(str(extras.get("player_response", "")))
    events: list[TurnEvent] = [Token(it, k) for k, it in enumerate(pieces(record.narrative))]
    events += [Token(it, k, "player_response") for k, it in enumerate(response)]
    if "player_options" in extras:
        events.append(Options(extras["player_options"]))
    if (scene := extras.get("scene")) is not None:
        shown = {name: value for name, value in scene.items() if name != "dm_notes"}
        events.append(SceneShown(shown, scene.get("dm_notes")))
    return events if extras else [*events, Preview(record.intents.model_dump())]
