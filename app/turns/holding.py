"""Outcomes that await their commit: recorded, shown, and shown again where another telling has failed."""

from __future__ import annotations

import asyncio

from app.core.events import Metadata, Options, Preview, SceneShown, Token, TurnEvent, stamp
from app.core.record import CommitRecord, Recording
from app.core.shortening import pieces
from app.core.stages import Stage
from app.core.wire import MetadataFields
from app.ports.store import CancelVerdict, Choice, TurnStore
from app.turns.persistence import CancelledFirst, commit, retry_until_stored
from app.turns.state import TurnState

COMMIT_SECONDS = 600.0


class Holding:
    """`seconds`: how long an outcome waits before its turn is cancelled."""

    def __init__(self, store: TurnStore, seconds: float = COMMIT_SECONDS) -> None:
        self._store = store
        self._seconds = seconds

    async def hold(self, turn: TurnState, record: CommitRecord) -> CommitRecord:
        """Record a validated outcome, then show that it awaits its commit; the record with its time.

        Raises `CancelledFirst` or `LostTurn`.
        """
        until = turn.clock.now() + self._seconds
        held = record.model_copy(update={"until": until, "tokens_spent": turn.tokens_spent})
        tokens = turn.writer.view.tokens
        awaiting = Metadata("awaiting_commit", tokens, MetadataFields(until=stamp(until)))
        entries = turn.writer.draft(Metadata("validation", tokens), awaiting)
        await commit(lambda: self._store.hold(turn.claim, held, entries, turn.recording()))
        turn.advance(Stage.AWAITING)
        turn.writer.publish(entries)
        return held

    async def hold_again(
        self, turn: TurnState, record: CommitRecord, recording: Recording, error_type: str
    ) -> CommitRecord:
        """Show the earlier telling once more, since another one has failed, and hold it."""
        fields = MetadataFields(error_type=error_type)
        turn.writer.append(Metadata("retelling", 0, fields))
        for event in _shown(record):
            turn.writer.append(event)
        turn.writer.view.tokens = record.tokens_streamed
        turn.go_back(record, recording)
        return await self.hold(turn, record)

    async def choice(self, turn: TurnState, record: CommitRecord) -> Choice:
        """What is to become of it. Raises `CancelledFirst` once it has waited for too long."""
        try:
            async with asyncio.timeout(max(record.until - turn.clock.now(), 0)):
                return await turn.chosen()
        except TimeoutError:
            pass
        verdict = await retry_until_stored(lambda: self._store.begin_cancel(turn.turn_id))
        if verdict is CancelVerdict.CANCELLING:
            raise CancelledFirst
        await commit(lambda: self._store.note(turn.claim, ()))  # the claim may be lost
        return await turn.chosen()  # somebody was faster, and the news is on its way


def _shown(record: CommitRecord) -> list[TurnEvent]:
    """What readers have seen of a telling, in as few events as it takes."""
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
