"""The turns of a character, newest first, back to the first one that anybody keeps."""

from __future__ import annotations

from collections.abc import Sequence

from app.characters.schemas import PastTurn, TurnPage
from app.core.access import Action, Caller, may
from app.core.events import stamp
from app.core.opening import player_words
from app.errors import TurnNotFound
from app.ports.call import CallMeta
from app.ports.history import TurnJournal
from app.ports.journey_log import JourneyLog, StoryTurn
from app.ports.store import StoredTurn
from app.turns import past
from app.turns.service import TurnService


class CharacterHistory:
    """Our own record, and behind its end what journey-log shows: the newest 100 narratives."""

    def __init__(self, journey_log: JourneyLog, store: TurnJournal, turns: TurnService) -> None:
        self._journey_log = journey_log
        self._store = store
        self._turns = turns

    async def page(
        self, caller: Caller, character_id: str, limit: int, before: str | None, meta: CallMeta
    ) -> TurnPage:
        """At most `limit` turns, those older than `before`: a `turn_id` of an earlier page.

        Raises `TurnNotFound` for an unknown `before`, and as reads of journey-log do.
        """
        found = await self._older_than(caller, character_id, limit + 1, before, meta)
        page = found[:limit]
        return TurnPage(turns=page, next=page[-1]["turn_id"] if len(found) > limit else None)

    async def _older_than(
        self, caller: Caller, character_id: str, limit: int, before: str | None, meta: CallMeta
    ) -> list[PastTurn]:
        mark = None if before is None else await self._store.turn(before)
        if mark is not None and not _readable(caller, character_id, mark):
            raise TurnNotFound
        if before is not None and mark is None:
            story = await self._journey_log.story(caller.user_id, character_id, meta)
            return [_from_story(turn) for turn in _behind(story, before)]
        own = await self._store.character_turns(caller.user_id, character_id, limit, before)
        shown = [await self._shown(turn, caller) for turn in own]
        oldest = own[-1] if own else mark
        if len(own) == limit or (oldest is not None and _is_first(oldest)):
            return shown
        story = await self._journey_log.story(caller.user_id, character_id, meta)
        kept = own if mark is None else [mark, *own]
        return shown + [_from_story(turn) for turn in _before_record(story, kept)]

    async def _shown(self, turn: StoredTurn, caller: Caller) -> PastTurn:
        shown = await past.shown(self._turns, turn, caller)
        return PastTurn(
            turn_id=turn.turn_id,
            status=shown["status"],
            user_action=player_words(turn.request["user_action"]) or None,
            narrative=shown.get("narrative"),
            intents=shown.get("intents"),
            created_at=stamp(turn.created_at),
        )


def _readable(caller: Caller, character_id: str, turn: StoredTurn) -> bool:
    own = turn.user_id == caller.user_id  # it may be a table's
    return (own or may(caller, Action.READ, turn.resource)) and turn.character_id == character_id


def _is_first(turn: StoredTurn) -> bool:
    """An opening succeeds only where there was no story yet."""
    return turn.status == "complete" and turn.request.get("kind") == "opening"


def _behind(story: Sequence[StoryTurn], turn_id: str) -> Sequence[StoryTurn]:
    ids = [turn.id for turn in story]
    if turn_id not in ids:
        raise TurnNotFound
    return story[ids.index(turn_id) + 1 :]


def _before_record(story: Sequence[StoryTurn], own: Sequence[StoredTurn]) -> Sequence[StoryTurn]:
    """The turns of journey-log that are older than our own, newest first: those before the oldest turn
    that both have.

    Where it has none of them, time decides.
    """
    known = {(turn.result or {}).get("narrative") for turn in own if turn.status == "complete"}
    common = [place for place, turn in enumerate(story) if turn.narrative in known]
    if common:
        return story[common[-1] + 1 :]
    began = min((turn.created_at for turn in own), default=float("inf"))
    return [turn for turn in story if turn.played_at < began]


def _from_story(turn: StoryTurn) -> PastTurn:
    return PastTurn(
        turn_id=turn.id,
        status="complete",
        user_action=player_words(turn.user_action) or None,
        narrative=turn.narrative,
        intents=None,
        created_at=stamp(turn.played_at),
    )
