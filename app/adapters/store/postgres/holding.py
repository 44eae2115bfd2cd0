"""Outcomes that await their commit, in PostgreSQL."""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from app.adapters.store.packing import packed
from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.rows import act_of, both, check_budgets, parts, spent_of, storable
from app.core.encoding import dump
from app.core.events import Entry
from app.core.money import NOTHING, Amount, DaySpent, Spent
from app.core.record import CommitRecord, Recording
from app.ports.store import Choice, Claim, Verdict


class PostgresHolding(ABC):
    """The store's transactions on them, and what was spent."""

    engine: PostgresEngine

    async def hold(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        act = act_of("hold", entries)
        values = act, record.model_dump_json(), packed(recording), *parts(entries)
        return cast(Verdict, await self._verdict(sql.HOLD, claim, *values))

    async def held(self, turn_id: str) -> CommitRecord | None:
        text = await self.engine.value(sql.HELD, storable(turn_id))
        return None if text is None else CommitRecord.model_validate_json(text)

    async def choose(
        self,
        turn_id: str,
        choice: Choice,
        reserved: Amount = NOTHING,
        budget: Amount = NOTHING,
        shared: Amount = NOTHING,
    ) -> bool:
        (row,) = await self.engine.fetch(
            sql.CHOOSE,
            storable(turn_id),
            secrets.token_bytes(8),
            choice.phase,
            dump(asdict(choice)),
            both(reserved),
            both(budget),
            both(shared),
            self._at,
            choice.telling,
        )
        check_budgets(row, budget, reserved, shared)
        return bool(row["verdict"] == "chosen")

    async def spent(self, user_id: str) -> Spent:
        (row,) = await self.engine.fetch(sql.SPENT, storable(user_id), self._at)
        return spent_of(row)

    async def spent_by_day(self, user_id: str, days: int) -> list[DaySpent]:
        rows = await self.engine.fetch(sql.SPENT_BY_DAY, storable(user_id), self._at, days)
        return [DaySpent(day, Amount(tokens, micros)) for day, tokens, micros in rows]

    async def spend(self, user_id: str, amount: Amount, account: str | None = None) -> None:
        named = None if account is None else storable(account)
        values = storable(user_id), both(amount.believable), named, self._at
        await self.engine.fetch(sql.SPEND, *values)

    async def cost_of(self, account: str) -> int:
        return int(await self.engine.value(sql.COST, storable(account)) or 0)

    async def choice(self, turn_id: str) -> Choice | None:
        text = await self.engine.value(sql.CHOICE, storable(turn_id))
        return None if text is None else Choice(**json.loads(text))

    @abstractmethod
    async def _verdict(self, statement: str, claim: Claim, *values: Any) -> Verdict | None: ...

    @property
    @abstractmethod
    def _at(self) -> float | None: ...
