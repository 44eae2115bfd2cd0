"""Parts of the durability protocol left out, for the negative controls."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final, Literal, TypeVar

from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.errors import StoreUnavailable
from app.ports.journey_log import Landed
from app.ports.store import Kept, Orphan, Verdict

Fault = Literal["none", "no read-back", "no settling", "no fence", "leases"]


class Unfenced(SqliteTurnStore):
    """Believes every claim: what another owner has done is not noticed."""

    async def step(self, *args: Any) -> Kept:
        await super().step(*args)
        return Verdict.STORED

    async def finish(self, *args: Any) -> Verdict:
        await super().finish(*args)
        return Verdict.STORED


class UnfencedPostgres(PostgresTurnStore):
    """The same."""

    async def step(self, *args: Any) -> Kept:
        await super().step(*args)
        return Verdict.STORED

    async def resend(self, *args: Any) -> Kept:
        await super().resend(*args)
        return Verdict.STORED

    async def finish(self, *args: Any) -> Verdict:
        await super().finish(*args)
        return Verdict.STORED


class Leased(UnfencedPostgres):
    """Each process moves a time of its own forward; whoever finds another one's time over takes its turns.
    A process that stood still believes its claims."""

    _renewing: asyncio.Task[None] | None = None

    async def adopt(self) -> list[Orphan]:
        await self.engine.fetch(_OVER, LEASE_SECONDS)
        found = await super().adopt()
        self._renewing = self._renewing or asyncio.create_task(self._renew())
        return found

    async def aclose(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        await super().aclose()

    async def _renew(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                await self.engine.fetch(_RENEW, self.owner)
            self.on_orphans()
            await asyncio.sleep(LEASE_SECONDS / 4)


LEASE_SECONDS: Final = 0.5
_NOW: Final = "extract(epoch FROM clock_timestamp())"
_RENEW: Final = f"UPDATE nodes SET started_at = {_NOW} WHERE owner = $1"
# Their owner has another name then, whose lock is free.
_OVER: Final = (
    "UPDATE turns SET owner = 'e' || owner WHERE phase <> 'done' AND owner IN"
    f" (SELECT owner FROM nodes WHERE started_at < {_NOW} - $1::double precision)"
)


class Blind(JourneyLogClient):
    """Cannot find anything again."""

    async def landed(self, *args: Any) -> Landed:
        return "no"


Store = TypeVar("Store", bound=object)
_WEAKER: Final[dict[tuple[Fault, type], type]] = {
    ("no fence", SqliteTurnStore): Unfenced,
    ("no fence", PostgresTurnStore): UnfencedPostgres,
    ("leases", PostgresTurnStore): Leased,
}


def weakened(store: Store, broken: Fault) -> Store:
    store.__class__ = _WEAKER.get((broken, type(store)), type(store))
    return store
