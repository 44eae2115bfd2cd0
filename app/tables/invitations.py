"""Access to the seats of a table: invitations and removed members."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable

from app.core.access import Caller
from app.core.tables import Invitation, Role, Seat, Table
from app.errors import Forbidden, NotFound
from app.ports.tables import TableStore
from app.tables.visit import Visit

NO_MEMBER = "There is no such member."
REMOVED = "You were removed from this session; its owner or dungeon master may readmit you."


class TableInvitations:
    """`now` gives epoch seconds."""

    def __init__(self, tables: TableStore, now: Callable[[], float]) -> None:
        self._tables = tables
        self._now = now

    async def invite(
        self, visit: Visit, role: Role, seconds: float | None
    ) -> tuple[Invitation, str]:
        """A new invitation and its token, which is shown this once. Raises `Forbidden`."""
        visit.require(*visit.table.management)
        if role == "dm":
            visit.require(visit.table.property)
        now, token = self._now(), secrets.token_urlsafe(24)
        until = None if seconds is None else now + seconds
        invitation = Invitation(str(uuid.uuid4()), role, now, until)
        await self._tables.invite(visit.table.id, invitation, _hash(token), visit.caller.user_id)
        return invitation, token

    async def invitations(self, visit: Visit) -> list[Invitation]:
        """Raises `Forbidden`."""
        visit.require(*visit.table.management)
        return await self._tables.invitations(visit.table.id)

    async def revoke(self, visit: Visit, invitation_id: str) -> None:
        """Raises `Forbidden`, `NotFound`."""
        visit.require(*visit.table.management)
        if not await self._tables.revoke(visit.table.id, invitation_id):
            raise NotFound("There is no such invitation.")

    async def role(
        self, table: Table, known: Seat | None, invitation: str | None, caller: Caller
    ) -> Role:
        """The role in which somebody may join. Raises `Forbidden`."""
        if known is not None and known.removed:
            raise Forbidden(REMOVED)
        if invitation is not None:
            role = await self._tables.invitation(table.id, _hash(invitation), self._now())
            if role is None:
                raise Forbidden("The invitation is not good, or no longer.")
            return role
        if known is not None and known.present:
            return known.role
        if caller.user_id == table.owner or table.rules.join == "open":
            return "player"
        raise Forbidden("An invitation is needed to join this session.")

    async def removed(self, visit: Visit) -> list[Seat]:
        """The removed members, who may take no seat with any invitation. Raises `Forbidden`."""
        visit.require(*visit.table.management)
        return await self._tables.removed(visit.table.id)

    async def readmit(self, visit: Visit, user_id: str) -> None:
        """Let a removed member take a seat again. Raises `Forbidden`, `NotFound`."""
        visit.require(*visit.table.management)
        if not await self._tables.readmit(visit.table.id, user_id):
            raise NotFound(NO_MEMBER)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
