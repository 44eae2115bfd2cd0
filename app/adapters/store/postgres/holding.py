"""Outcomes that await their commit, in PostgreSQL."""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, cast

from app.adapters.store.packing import packed
from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.rows import act_of, parts, storable
from app.core.encoding import dump
from app.core.events import Entry
from app.core.limits import check_budget
from app.core.record import CommitRecord, Recording
from app.ports.store import Choice, Claim, Verdict

CHOSEN: Final = {"commit": "committing", "retell": "retelling"}


class PostgresHolding(ABC):
    """The store's transactions on them, and what is paid beside turns."""

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
        self, turn_id: str, choice: Choice, reserved: int = 0, budget: int = 0
    ) -> bool:
        (row,) = await self.engine.fetch(
            sql.CHOOSE,
            storable(turn_id),
            secrets.token_bytes(8),
            CHOSEN[choice.kind],
            dump(asdict(choice)),
            reserved,
            budget,
            self._at,
        )
        if row["verdict"] == "over budget":
            check_budget(budget, row["used"], row["set_aside"], reserved, row["at"])
        return bool(row["verdict"] == "chosen")

    async def spend(self, user_id: str, tokens: int) -> None:
        await self.engine.fetch(sql.SPEND, storable(user_id), min(max(tokens, 0), 2**40), self._at)

    async def choice(self, turn_id: str) -> Choice | None:
        text = await self.engine.value(sql.CHOICE, storable(turn_id))
        return None if text is None else Choice(**json.loads(text))

    @abstractmethod
    async def _verdict(self, statement: str, claim: Claim, *values: Any) -> Verdict | None: ...

    @property
    @abstractmethod
    def _at(self) -> float | None: ...
