"""Actions of players at a table; each is a turn of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from app.core.dice import parse
from app.core.money import Amount
from app.core.references import MAX_REFERENCES
from app.core.rounds import Round
from app.core.table_prompt import Occurrence
from app.core.tables import MAX_TOPICS, NewLine, Table
from app.core.writes import MAX_ACTION
from app.errors import (
    Forbidden,
    IdempotencyKeyReused,
    NotAwaitingCommit,
    TurnInProgress,
    TurnNotFound,
    ValidationError,
)
from app.ports.limits import Taken
from app.ports.store import TurnRequest
from app.ports.tables import TableStore
from app.tables.budget import RESERVED, TableBudget
from app.tables.deed_lines import as_shown, deed_line, key_of, made
from app.tables.service import TableService
from app.tables.topics import TableTopics
from app.tables.visit import Visit
from app.turns.admission import Prepare
from app.turns.choices import TurnChoices
from app.turns.open_turn import OpenTurn
from app.turns.service import TurnService

MOST_WAITING: Final = 32  # turns in the queue of a table
MOST_OF_ONE: Final = 8  # of them, of one player


@dataclass(eq=False)
class TablePlay:
    """Starts turns of tables."""

    _service: TableService
    _tables: TableStore
    _turns: TurnService
    _choices: TurnChoices
    _budget: TableBudget
    _topics: TableTopics
    _secret: str  # from which the seeds of rolls are made

    def asked(self, visit: Visit, asked: TurnRequest, occurrence: Occurrence) -> TurnRequest:
        """The request of the turn that answers a deed by itself. Raises `Forbidden` where nobody can act,
        `ValidationError` for dice that cannot be rolled."""
        self.require_open(visit.table)
        seat = visit.seat
        known = replace(asked, character_id=(seat.character_id if seat is not None else None) or "")
        rate = visit.table.rules.requests_per_minute
        request = _of_table(visit.table, known, occurrence, rate)
        roll = occurrence.roll
        if roll is None or not roll.due:
            return request
        parse(roll.dice)
        return replace(request, same=f"{request.about}\n{request.user_action}")

    async def require_lines(
        self, visit: Visit, request: TurnRequest, occurrence: Occurrence, field: str
    ) -> None:
        """Raises `ValidationError` for a deed that the table keeps out, see `act`."""
        roll = occurrence.roll
        rolled = {} if roll is None else {"roll_type": roll.roll_type, "dice": roll.dice}
        await self._topics.require_lines(visit.table, {**rolled, field: request.user_action})

    async def act(
        self,
        visit: Visit,
        request: TurnRequest,
        occurrence: Occurrence,
        field: str,
        *,
        echoed: bool = False,
    ) -> OpenTurn:
        """Show the deed to everybody, then run the turn that answers it, or let it wait for its turn.
        `field`: the name of its words in the request.

        A deed that is refused by a limit is not shown, unless it is `echoed` before any is checked; one
        that the table keeps out never is. Raises what a turn raises; a deed repeated with its idempotency
        key is not shown again, and its roll is the one that was shown.
        """
        done = partial(self._done, visit, occurrence)
        if await self._turns.is_known(request):
            return await self._start(visit.table, request, done)
        await self.require_lines(visit, request, occurrence, field)
        if not echoed:
            return await self._start(visit.table, request, done)
        return await self._start(visit.table, await done(request))

    async def _done(
        self, visit: Visit, occurrence: Occurrence, request: TurnRequest
    ) -> TurnRequest:
        """The deed as everybody has seen it, its roll made."""
        if occurrence.occasion == "start":
            return request

        def line(index: int) -> NewLine:
            action, made = self.made(visit.table, index, request.user_action, occurrence)
            return deed_line(visit.caller.user_id, action, made)

        said = await self._service.do(visit.table, line, key_of(request))
        return as_shown(request, occurrence, said)

    def made(
        self, table: Table, index: int, action: str, occurrence: Occurrence
    ) -> tuple[str, Occurrence]:
        """See `deed_lines.made`."""
        return made(table, self._secret, index, action, occurrence)

    async def play_round(self, table: Table, found: Round) -> str | None:
        """Start the turn of a round, which exists once however often it is asked for; its id. Raises what a
        turn raises."""
        first = next((deed for deed in found.deeds if deed.character_id), None)
        referred = [(one, deed.user_id) for deed in found.deeds for one in deed.references]
        referred = referred[:MAX_REFERENCES]
        occurrence = Occurrence(
            occasion="round", player_name="", round=found.number, deeds=found.deeds
        )
        request = TurnRequest(
            character_id=(first and first.character_id) or "",
            user_action=found.words[:MAX_ACTION],
            user_id=found.user_id if first is None else first.user_id,
            request_id=found.key,
            idempotency_key=found.key,
            endpoint="/api/sessions/{session_id}/round",
            references=tuple(one for one, _ in referred),
            referrers=tuple(user for _, user in referred),
        )
        request = _of_table(table, request, occurrence, rate=0)
        try:
            try:
                turn = await self._start(table, request)
            except TurnInProgress:
                if not request.character_id:
                    raise
                # Where the character plays elsewhere, the others do not wait for it.
                turn = await self._start(table, replace(request, character_id=""))
        except IdempotencyKeyReused as error:
            return error.turn_id  # it has begun, without the character or by other rules
        return turn.turn_id

    async def take(self, table: Table, request: TurnRequest) -> Taken:
        """Places for a deed of a round, paid and limited as a turn is. Raises as `Admission.admit`."""
        taken = await self._turns.take_before(request)
        try:
            await self._budget.require_room(table)
        except BaseException:
            await taken.give_back()
            raise
        return taken

    def require_open(self, table: Table) -> None:
        """Raises `Forbidden` where nobody can act."""
        if not table.is_active or table.rules.paused:
            state = "paused" if table.is_active else "over"
            raise Forbidden(f"The session is {state}.")

    async def _start(
        self, table: Table, request: TurnRequest, prepare: Prepare | None = None
    ) -> OpenTurn:
        async def within_budget(one: TurnRequest) -> TurnRequest:
            one = await self._budget.take(table, one)
            return one if prepare is None else await prepare(one)

        return await self._turns.start(request, within_budget)

    async def x_card(self, visit: Visit, topic: str | None, *, silent: bool) -> bool:
        """Stop the turn that runs, and move on without the `topic`. `silent` keeps who has played it.
        False: no turn was stopped. Raises `ValidationError`, all this done, where there is no room for the
        topic among the lines: none of theirs makes room for it."""
        by = None if silent else visit.player_name
        # before a turn that waits takes the place of this one
        played = await self._service.avoid(visit, topic, by)
        if played.stopped is not None:
            await self._turns.end_cancelled(played.stopped)
        if topic is not None and not played.new.excludes(topic):
            raise ValidationError(
                f"topic: the session has {MAX_TOPICS} lines already; the card was played without it"
            )
        return played.stopped is not None

    async def commit(self, visit: Visit, turn_id: str | None = None) -> str:
        """Keep the turn that awaits it; its id. Raises `NotAwaitingCommit`."""
        turn_id, awaits = await self._held(visit, turn_id)
        if awaits:
            await self._choices.commit(turn_id, visit.caller)
        else:
            await self._choices.require_committed(turn_id, visit.caller)
        return turn_id

    async def retell(
        self,
        visit: Visit,
        guidance: str,
        turn_id: str | None = None,
        telling: int | None = None,
    ) -> str:
        """Have the turn regenerated that awaits its commit; its id. `telling`: see `Choice`. Raises as
        `TurnChoices.retell`."""
        turn_id, awaits = await self._held(visit, turn_id)
        if not awaits:
            raise await self._choices.refusal(turn_id, visit.caller)
        prepare = partial(self._budget.take, visit.table)
        await self._choices.retell(turn_id, visit.caller, guidance, prepare, telling)
        return turn_id

    async def _held(self, visit: Visit, meant: str | None) -> tuple[str, bool]:
        """The id of the turn `meant`, else of the running one, and whether it awaits a choice: one that
        does not yet may await the approval of the dungeon master in a moment, which is no player's to give.
        Raises `NotAwaitingCommit` where there is none, and where it awaits approval and the caller is a
        player."""
        turn_id = meant or await self._running(visit.table)
        held = None if turn_id is None else await self._choices.held(turn_id)
        approval = held and held.hold and held.hold.reason == "approval"
        if turn_id is None or (approval and not visit.moderates):
            raise NotAwaitingCommit
        return turn_id, held is not None

    async def _running(self, table: Table) -> str | None:
        for turn in await self._tables.turns(table.id, None):
            if turn.status == "running":
                return turn.turn_id
        return None

    async def newest(self, visit: Visit) -> Mapping[str, Any]:
        """What came of the turn that was told last; empty where there is none."""
        every = await self._tables.turns(visit.table.id, None)
        told = [(one.begun or 0, one.turn_id) for one in every if one.status == "complete"]
        if not told:
            return {}
        try:
            return await self._turns.result(max(told)[1], visit.caller)
        except TurnNotFound:  # it is no longer kept
            return {}

    async def used(self, visit: Visit) -> Amount:
        """The amount used by all turns of the table so far."""
        return (await self._tables.spent(visit.table.id)).used


def _of_table(table: Table, asked: TurnRequest, occurrence: Occurrence, rate: int) -> TurnRequest:
    """`rate`: requests a minute, 0 where they were counted before."""
    alone = occurrence.occasion != "round"  # a round is everybody's
    return replace(
        asked,
        kind="table",
        about=occurrence.model_dump_json(),
        exclusive=table.key,
        per_minute=rate,
        reserved=RESERVED,
        commit=table.rules.commit,
        may_wait=MOST_WAITING,
        may_wait_each=MOST_OF_ONE if alone else 0,
        taken_before=not alone,
    )
