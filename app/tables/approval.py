"""The approval of a human dungeon master: an outcome waits for it, and may be edited or vetoed."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app import errors
from app.core.approval import Changes
from app.core.events import stamp
from app.core.record import CommitRecord
from app.core.table_outcome import story_text
from app.errors import NotAwaitingCommit, ValidationError
from app.ports.tables import TableStore
from app.tables.approval_schemas import ApprovalAnswer, ApprovalIn, ApprovalView
from app.tables.narration import MAX_ANSWER
from app.tables.play import TablePlay
from app.tables.routes import visit_of
from app.tables.socket import AT_TABLE, at_table
from app.tables.topics import TableTopics
from app.tables.visit import Visit
from app.turns.api import NO_ROOM
from app.turns.choices import TurnChoices
from app.web.answers import JSONAnswer
from app.web.inputs import read_model
from app.web.routing import Answer, Body
from app.web.services import services_of

FASTER: Final = "Somebody was faster."
RETOLD: Final = "It was retold since: another narration waits for approval."


class Meant(NamedTuple):
    """What a decision is about: the turn, and which of its narrations; None: whichever waits."""

    turn_id: str | None = None
    telling: int | None = None


ANY: Final = Meant()


class TableApproval:
    """Approval of outcomes by the dungeon master of a table."""

    def __init__(
        self,
        tables: TableStore,
        choices: TurnChoices,
        play: TablePlay,
        topics: TableTopics,
    ) -> None:
        self._topics = topics
        self._tables = tables
        self._choices = choices
        self._play = play

    async def waiting(self, visit: Visit, meant: Meant = ANY) -> CommitRecord:
        """The record of the turn that awaits approval, which must be the one `meant`. Raises `Forbidden`,
        `NotAwaitingCommit`."""
        visit.require(visit.table.moderation)
        for turn in await self._tables.turns(visit.table.id, None):
            if turn.status == "running" and meant.turn_id in (None, turn.turn_id):
                found = await self._choices.held(turn.turn_id)
                if found is not None and found.hold is not None:
                    if meant.telling not in (None, found.telling):
                        raise NotAwaitingCommit(RETOLD, extra={"telling": found.telling})
                    return found
        raise NotAwaitingCommit("Nothing waits for approval.")

    async def approve(self, visit: Visit, meant: Meant, changes: Changes) -> str:
        """The turn. Raises `Forbidden`, `NotAwaitingCommit`, `ValidationError`."""
        record = await self.waiting(visit, meant)
        given = record.extras | changes.model_dump(exclude_none=True)
        text = story_text(
            changes.narrative or record.narrative, str(given.get("player_response") or "")
        )
        if len(text) > MAX_ANSWER:
            raise ValidationError(f"narrative: must be at most {MAX_ANSWER} characters, all in all")
        await self._topics.require_story(visit.table, _edited(changes, text))
        if not await self._choices.approve(record, changes):
            raise NotAwaitingCommit(FASTER)
        return record.turn_id

    async def veto(self, visit: Visit, meant: Meant) -> str:
        """Nothing of it is kept. Raises `Forbidden`, `NotAwaitingCommit`."""
        record = await self.waiting(visit, meant)
        if not await self._choices.veto(record):
            raise NotAwaitingCommit(FASTER)
        return record.turn_id

    async def retell(self, visit: Visit, meant: Meant, guidance: str) -> str:
        """Raises `Forbidden`, and what a retelling of a turn raises."""
        record = await self.waiting(visit, meant)
        return await self._play.retell(visit, guidance, record.turn_id, record.telling)


def _edited(changes: Changes, text: str) -> dict[str, str]:
    """The parts that are changed, by their names. `text`: all that is told then, since a passage may begin
    in the narrative and end in the answer."""
    parts = {"player_response": changes.player_response or ""}
    parts["player_options"] = " | ".join(changes.player_options or ())
    told = changes.narrative is not None or changes.player_response is not None
    return parts | {"narrative": text if told else ""}


def _view(record: CommitRecord) -> ApprovalView:
    extras = record.extras
    return ApprovalView(
        turn_id=record.turn_id,
        telling=record.telling,
        until=stamp(record.until),
        narrative=record.narrative,
        player_response=extras.get("player_response"),
        player_options=list(extras.get("player_options") or ()),
        scene=extras.get("scene"),
        roll_conflicts=list(record.validation.roll_conflicts),
    )


async def get_approval(request: Request) -> Response:
    visit = await visit_of(request)
    return JSONAnswer(_view(await services_of(request).get(TableApproval).waiting(visit)))


async def post_approval(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, ApprovalIn, absent=b"{}")
    turn_id = await _decided(services_of(request).get(TableApproval), visit, body)
    return JSONAnswer(ApprovalAnswer(turn_id=turn_id, decision=body.decision), 202)


async def _decided(approval: TableApproval, visit: Visit, body: ApprovalIn) -> str:
    meant = Meant(None if body.turn_id is None else str(body.turn_id), body.telling)
    if body.decision == "veto":
        return await approval.veto(visit, meant)
    if body.decision == "retell":
        return await approval.retell(visit, meant, body.guidance or "")
    changes = Changes(
        narrative=body.narrative,
        player_response=body.player_response,
        player_options=body.player_options,
    )
    return await approval.approve(visit, meant, changes)


_operation = partial(at_table, path="/api/sessions/{session_id}/approval")
_KNOWN: Final = (
    *AT_TABLE,
    errors.NotAwaitingCommit,
)

OPERATIONS: Final = (
    _operation(
        method="GET",
        endpoint=get_approval,
        name="getApproval",
        summary="What waits for approval",
        about="For the dungeon master; for the owner where nobody else is one.",
        answers=(Answer(200, "The narration, as the model wrote it.", json=ApprovalView),),
        errors=_KNOWN,
    ),
    _operation(
        method="POST",
        endpoint=post_approval,
        name="approve",
        summary="Approve, edit, veto or have retold what waits for approval",
        about="For the dungeon master; for the owner where nobody else is one. Players see nothing of it "
        "before. What is approved, edited or not, is kept; of what is vetoed, nothing is. A decision with "
        "`turn_id` and `telling` is refused where another moderator has decided, or had it retold, since.",
        request=Body(ApprovalIn, {"narrative": "The door stays shut."}, required=False),
        answers=(Answer(202, "It is decided.", json=ApprovalAnswer),),
        errors=(*_KNOWN, *NO_ROOM),
    ),
)
