"""Tables as answers show them."""

from __future__ import annotations

from app.core.access import Caller
from app.core.events import stamp
from app.core.money import Amount
from app.core.tables import Invitation, Line, Seat, Table
from app.tables import invitation_schemas, schemas
from app.tables.round_schemas import RoundView
from app.tables.rounds import RoundSeen


def session_view(table: Table) -> schemas.Session:
    """A session with its rules."""
    rules = table.rules
    return schemas.Session(
        id=table.id,
        name=table.name,
        dm_name=table.dm_name,
        created_at=stamp(table.created_at),
        is_active=table.is_active,
        owner=table.owner,
        join=rules.join,
        requests_per_minute=rules.requests_per_minute,
        token_budget=rules.token_budget,
        cost_budget_micros=rules.cost_budget_micros,
        lines=list(rules.lines),
        veils=list(rules.veils),
        paused=rules.paused,
        mode=rules.mode,
        round_seconds=rules.round_seconds,
        absent=rules.absent,
        approval_seconds=rules.approval_seconds,
        commit=rules.commit,
    )


def tokens_view(budget: Amount, used: Amount) -> schemas.TokensLeft:
    """The tokens that a session has used, and the rest of its budget."""
    left = budget.less(used)
    return schemas.TokensLeft(
        used=used.tokens,
        limit=budget.tokens,
        remaining=left.tokens,
        cost_micros=used.micros,
        cost_limit_micros=budget.micros,
        cost_remaining_micros=left.micros,
    )


def round_view(seen: RoundSeen) -> RoundView:
    """The round that is collected."""
    found = seen.round
    present = {seat.user_id for seat in seen.players}
    away = [seat.player_name for seat in seen.players if seat.user_id in found.away]
    return RoundView(
        round=found.number,
        acted=[
            deed.player_name for deed in found.deeds if not deed.played and deed.user_id in present
        ],
        waiting=[seat.player_name for seat in found.waits_for(seen.players)],
        away=away,
        until=None if found.until is None else stamp(found.until),
        closed=found.closed or found.forced,
        failed=found.failed > 0,
    )


def message_view(line: Line) -> schemas.SessionMessage:
    """A line as a message."""
    return schemas.SessionMessage(
        id=line.id,
        session_id=line.table_id,
        sender_name=line.said.sender,
        content=line.said.content,
        message_type=line.said.message_type,
        created_at=stamp(line.created_at),
    )


def member_view(table: Table, seat: Seat, caller: Caller, present: bool) -> schemas.Member:
    """A member of a table, as the caller sees it."""
    return schemas.Member(
        user_id=seat.user_id,
        player_name=seat.player_name,
        role=seat.role,
        owner=seat.user_id == table.owner,
        you=seat.user_id == caller.user_id,
        present=present,
        character_id=seat.character_id,
    )


def invitation_view(invitation: Invitation) -> invitation_schemas.InvitationView:
    """An invitation without its token."""
    until = invitation.expires_at
    return invitation_schemas.InvitationView(
        id=invitation.id,
        role=invitation.role,
        created_at=stamp(invitation.created_at),
        expires_at=None if until is None else stamp(until),
        revoked=invitation.revoked,
    )
