"""Ends of turns: the record of an ended turn; turns that fail or are cancelled."""

from __future__ import annotations

from dataclasses import replace

import structlog

from app.core.events import Cancelled, Failed, Terminal, TurnEvent
from app.core.money import NOTHING, Amount
from app.core.stages import Stage
from app.errors import DungeonMasterError, Interrupted, TurnCancelled
from app.ports.store import Ending, TurnStatus, TurnStore
from app.turns.announcing import turn_event
from app.turns.persistence import CancelledFirst, LostTurn, commit
from app.turns.state import TurnState

log = structlog.get_logger(__name__)


def ending_of(turn: TurnState, status: TurnStatus, event: Terminal, *before: TurnEvent) -> Ending:
    """The `Ending` of a turn whose terminal event is `event`, with the events `before` it."""
    result = turn.writer.preview(event).result()
    return Ending(
        status=status,
        result=result,
        entries=turn.writer.draft(*before, event),
        spent=turn.spent_on_calls,
        event=turn_event(turn.turn_id, turn.request, status, result),
    )


class Endings:
    """Records the terminal event, then shows it. Methods raise `LostTurn`."""

    def __init__(self, store: TurnStore) -> None:
        self._store = store

    async def failed(self, turn: TurnState, error: DungeonMasterError) -> None:
        """End with an `error` event. Raises `CancelledFirst` when a cancel came first.

        The idempotency key is released when nothing was done under it, unless it is that of a round:
        whoever comes late to play it must find this turn. An outage that left nothing written costs
        nothing, either, unless a table has been told some of it: the model has really used that of the
        session's budget. A turn that died with its process is charged its reservation.
        """
        turn.error = _bare(error)
        view = turn.writer.view
        event = Failed(
            error_type=error.type,
            message=error.message,
            recoverable=error.recoverable,
            phase=view.phase,
            partial_narrative=view.shown or None,
            committed=tuple(view.committed),
            retry_after_seconds=error.retry_after,
            request_id=turn.request.request_id,
            upstream=error.upstream,
        )
        outage = error.recoverable and not view.committed
        release = not turn.readable or outage or _may_be_repeated(turn)
        release = release and not turn.request.taken_before
        told = turn.request.kind == "table" and view.shown != ""
        free = outage and not told and not isinstance(error, Interrupted)
        spent = NOTHING if free else turn.spent_on_calls
        await self._end(turn, "error", event, release_key=release, spent=spent)

    async def cancelled(self, turn: TurnState) -> None:
        """End with a `cancelled` event."""
        if turn.stage is not Stage.CANCELLING:  # the journal knew of the cancel first
            turn.advance(Stage.CANCELLING)
        turn.error = TurnCancelled()
        view = turn.writer.view
        event = Cancelled(view.phase, view.shown)
        release = _may_be_repeated(turn)
        await self._end(turn, "cancelled", event, release_key=release, spent=turn.spent_on_calls)

    async def _end(
        self,
        turn: TurnState,
        status: TurnStatus,
        event: Terminal,
        *,
        release_key: bool,
        spent: Amount | None,
    ) -> None:
        await turn.wait_durable()
        recording = turn.recording() if turn.context is not None else None
        ending = replace(
            ending_of(turn, status, event),
            release_key=release_key,
            recording=recording,
            spent=spent,
        )
        await self._record(turn, ending)
        turn.writer.publish(ending.entries)

    async def _record(self, turn: TurnState, ending: Ending) -> None:
        """A turn must end, also when its recording for a replay cannot be stored."""
        try:
            await commit(lambda: self._store.finish(turn.claim, ending))
        except (CancelledFirst, LostTurn):
            raise
        except Exception as error:
            log.exception("recording_dropped", error_type=type(error).__name__)
            bare = replace(ending, recording=None, spent=None)
            await commit(lambda: self._store.finish(turn.claim, bare))


def _may_be_repeated(turn: TurnState) -> bool:
    """An opening that did not succeed is tried again under its key, unless something was written."""
    return turn.request.kind == "opening" and not turn.writer.view.committed


def _bare(error: DungeonMasterError) -> DungeonMasterError:
    """Without the stack frames it came through: they hold the turn, and only the garbage collector
    could free such a cycle."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
