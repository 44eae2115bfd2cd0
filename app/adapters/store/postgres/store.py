"""`TurnStore` on PostgreSQL: each transaction one call of a function in the database."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from app.adapters.store.packing import packed
from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.contents import PostgresContents, content_values
from app.adapters.store.postgres.conversations import PostgresConversations
from app.adapters.store.postgres.engine import PATIENCE_SECONDS, PostgresEngine
from app.adapters.store.postgres.history import PostgresTurnHistory
from app.adapters.store.postgres.holding import PostgresHolding
from app.adapters.store.postgres.lines import lines_text
from app.adapters.store.postgres.liveness import Fatal, Liveness
from app.adapters.store.postgres.outbox import PostgresOutbox, event_values
from app.adapters.store.postgres.preparing import at_the_start
from app.adapters.store.postgres.rows import (
    VERDICTS,
    act_of,
    admission_of,
    both,
    entries_of,
    orphan_of,
    parts,
    progress_of,
    request_of,
    request_text,
    storable,
    stored_turn,
)
from app.adapters.store.postgres.tables import PostgresTableStore
from app.adapters.store.postgres.watching import PeerWatch
from app.adapters.store.retention import Retention
from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.events import Entry
from app.core.money import NOTHING, Amount
from app.core.record import CommitRecord, Recording
from app.errors import IdempotencyKeyReused
from app.ports.store import (
    Admitted,
    Attached,
    Busy,
    CancelVerdict,
    Claim,
    Ending,
    Kept,
    Orphan,
    Queued,
    StoredTurn,
    TurnRequest,
    Verdict,
)

CHUNK: Final = 200  # turns removed in a transaction


class PostgresTurnStore(
    PostgresTurnHistory, PostgresHolding, PostgresConversations, PostgresContents
):
    """`now` gives epoch seconds; None, as in every real service: the database's clock.

    `on_orphans` is called when there may be turns to adopt.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], float] | None = None,
        retention: Retention | None = None,
        *,
        connections: int = 8,
        on_fatal: Fatal,
    ) -> None:
        self._database = database
        self.engine = PostgresEngine(database, "journal", connections)
        self._now = now
        self._retention = retention or Retention()
        self.liveness = Liveness(database, on_fatal)
        self.owner = self.liveness.owner
        self.tables = PostgresTableStore(self.engine, self.owner)
        self.outbox = PostgresOutbox(self.engine, self.liveness, now)
        self.on_orphans: Callable[[], None] = lambda: None
        self._known: set[str] = set()  # turns that are, or are about to be, in our hands
        self._adopting = asyncio.Lock()
        self._watch = PeerWatch(database, self.owner, lambda: self.on_orphans())
        self._again: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Raises `Unusable`, or what connecting raises."""
        at_the_start(self._database)

    async def aclose(self) -> None:
        if self._again is not None:
            self._again.cancel()
        await self._watch.aclose()
        await self.engine.aclose()
        await self.liveness.aclose()

    @property
    def waiting(self) -> int:
        return self.engine.waiting

    async def available(self) -> bool:
        return bool(await self.engine.value(sql.ALIVE))

    @property
    def _at(self) -> float | None:
        return None if self._now is None else self._now()

    # -- admission --------------------------------------------------------------------------------

    async def find_by_key(self, user_id: str, key: str, body_hash: bytes) -> str | None:
        rows = await self.engine.fetch(sql.BY_KEY, storable(user_id), storable(key), self._at)
        if not rows:
            return None
        if rows[0]["body_hash"] != body_hash:
            raise IdempotencyKeyReused(rows[0]["turn_id"])
        return str(rows[0]["turn_id"])

    async def admit(
        self,
        turn_id: str,
        request: TurnRequest,
        body_hash: bytes,
        queue_limit: int = 0,
        budget: Amount = NOTHING,
    ) -> Admitted | Queued | Attached | Busy:
        key, alone = request.idempotency_key, request.character_key
        self._known.add(turn_id)
        found: Admitted | Queued | Attached | Busy | None = None
        try:
            rows = await self._claiming(
                sql.ADMIT,
                turn_id,
                storable(request.user_id),
                storable(request.character_id),
                storable(request.exclusive_key),
                None if key is None else storable(key),
                body_hash,
                request_text(request),
                both(request.asks),
                self.owner,
                *(queue_limit, request.may_wait_each),
                *(both(budget), both(request.shared), self._at),
                None if alone is None else storable(alone),
            )
            found = admission_of(Claim(turn_id, 1), rows[0], budget, request)
            return found
        finally:
            if not isinstance(found, Admitted | Queued):
                self._known.discard(turn_id)

    async def promote(self, exclusive_key: str) -> str | None:
        key, act = storable(exclusive_key), secrets.token_bytes(8)
        return cast(str | None, await self.engine.value(sql.PROMOTE, key, act))

    # -- the journal ------------------------------------------------------------------------------

    async def _claiming(self, statement: str, *values: Any) -> list[Any]:
        """A transaction that needs this process to be alive in the eyes of others."""
        await self.liveness.wait_held(PATIENCE_SECONDS)
        return await self.engine.fetch(statement, *values)

    async def _verdict(self, statement: str, claim: Claim, *values: Any) -> Verdict | None:
        rows = await self._claiming(statement, claim.turn_id, self.owner, claim.fence, *values)
        answer = rows[0][0]
        if answer == "moved":
            self._known.discard(claim.turn_id)
        return VERDICTS[answer]

    async def begin_cancel(self, turn_id: str) -> CancelVerdict:
        taken = await self.engine.value(sql.CANCEL, storable(turn_id), secrets.token_bytes(8))
        return CancelVerdict.CANCELLING if taken else CancelVerdict.TOO_LATE

    async def note(self, claim: Claim, entries: Sequence[Entry]) -> Kept:
        act = act_of("note", entries)
        return cast(Kept, await self._verdict(sql.NOTE, claim, act, *parts(entries)))

    async def validate(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        kept = record.model_dump_json(), packed(recording), *parts(entries)
        values = act_of("validate", entries), *kept, self._at
        return cast(Verdict, await self._verdict(sql.VALIDATE, claim, *values))

    async def step(self, claim: Claim, step: int, entries: Sequence[Entry]) -> Kept:
        act = act_of(f"step {step}", entries)
        values = act, step, *parts(entries), self._at
        return cast(Kept, await self._verdict(sql.STEP, claim, *values))

    async def resend(self, claim: Claim, intent: int) -> Kept:
        return cast(Kept, await self._verdict(sql.RESEND, claim, intent, self._at))

    async def finish(self, claim: Claim, ending: Ending) -> Verdict:
        while (verdict := await self._finish(claim, ending)) is None:
            pass  # somebody else has changed the conversation in between
        if verdict is Verdict.STORED:
            self._known.discard(claim.turn_id)
        return verdict

    async def _finish(self, claim: Claim, ending: Ending) -> Verdict | None:
        spent, added = ending.spent, ending.exchange
        talk = None if added is None else await self.changed_by(added.key, added.apply)
        return await self._verdict(
            sql.FINISH,
            claim,
            act_of(f"finish {ending.status}", ending.entries),
            ending.status,
            dump(ending.result),
            None if ending.recording is None else packed(ending.recording),
            ending.release_key,
            *parts(ending.entries),
            None if ending.progress is None else ending.progress.model_dump_json(),
            None if ending.place is None else storable(ending.place),
            None if spent is None else both(spent.believable),
            None if ending.event is None else event_values(ending.event),
            None if talk is None else list(talk[:4]),
            None if talk is None else talk.at,
            self._at,
            lines_text(ending.lines),
            *content_values(ending.content),
        )

    async def adopt(self) -> list[Orphan]:
        """Adopt orphaned turns, and turns of our own whose admission or adoption was never answered."""
        async with self._adopting:
            return await self._adopt()

    async def _adopt(self) -> list[Orphan]:
        if lost := [turn_id for turn_id in await self.phases() if turn_id not in self._known]:
            await self.engine.fetch(sql.LET_GO, self.owner, lost)
        # Nothing differs from NULL: of ours none is taken that was admitted since.
        rows = await self._claiming(sql.ADOPT, self.owner, [None], self.liveness.grace)
        self._watch.start()
        await self.engine.fetch(sql.SETTLE_LEFT, self.owner)
        if rows[0]["waiting"]:
            self._look_again()
        found = [row for row in rows if row["turn_id"] is not None]
        if not found:
            return []
        ahead = (self._now or time.time)() - (self._at or rows[0]["at"])
        kept: dict[str, list[Any]] = {row["turn_id"]: [] for row in found}
        for part in await self.engine.fetch(sql.ENTRIES_OF_MANY, list(kept)):
            kept[part["turn_id"]].append(part)
        self._known.update(kept)
        return [orphan_of(row, ahead, entries_of(kept[row["turn_id"]])) for row in found]

    def _look_again(self) -> None:
        """Look again once the grace of a freed lock is over."""
        if self._again is None:
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(self.liveness.grace + 0.02, self._grace_over)

    def _grace_over(self) -> None:
        self._again = None
        self.on_orphans()

    async def phases(self) -> dict[str, str]:
        return dict(await self.engine.fetch(sql.MINE, self.owner))

    # -- what can be read -------------------------------------------------------------------------

    async def turn(self, turn_id: str, *, recording: bool = False) -> StoredTurn | None:
        statement = sql.TURN_RECORDED if recording else sql.TURN
        rows = await self.engine.fetch(statement, storable(turn_id))
        return stored_turn(rows[0], self.owner) if rows else None

    async def entries(self, turn_id: str) -> list[Entry] | None:
        return entries_of(await self.engine.fetch(sql.ENTRIES, storable(turn_id))) or None

    def recent_starts(self, since: float) -> list[tuple[TurnRequest, float]]:
        rows = at_the_start(self._database, sql.RECENT_STARTS, since)
        return [(request_of(row[0]), row[1]) for row in rows]

    async def progress(self, character_id: str) -> CharacterProgress:
        return progress_of(await self.engine.value(sql.PROGRESS, storable(character_id)))

    def secret(self, name: str) -> str:
        return str(at_the_start(self._database, sql.DRAWN, name, secrets.token_hex(16))[0][0])

    # -- retention --------------------------------------------------------------------------------

    async def expire(self, now: float) -> int:
        keep, removed = self._retention, 0
        times = now, keep.events_ttl, keep.recordings_ttl
        while True:
            (row,) = await self.engine.fetch(
                sql.EXPIRE, *times, keep.recordings_limit, keep.max_bytes, CHUNK
            )
            removed += int(row["removed"])
            if not row["more"]:
                return removed
