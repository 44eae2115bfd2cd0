"""The access policy: every action, for every relation between caller and resource."""

from __future__ import annotations

from dataclasses import replace

import pytest
from app.core.access import Action, Caller, Owner, Resource, has_scope, may, user
from app.core.tables import Seat, Table, seated

TABLE = Owner("table", "t1")
TURN = Resource("turn-1", user("ayla"), within="character-1")
TABLE_TURN = Resource("turn-2", TABLE)

OWNER = Caller("ayla", frozenset({"turns"}))
STRANGER = Caller("bran", frozenset({"turns"}))
PLAYER = Caller("bran", frozenset({"turns"}), acts_for=frozenset({TABLE}))
OPERATOR = Caller("root", frozenset({"turns", "admin"}))
TICKET = Caller("ayla", frozenset({"turns"}), only="turn-1")
FEED_TICKET = TICKET._replace(only="character-1")
OWN = {Action.READ, Action.WRITE, Action.CANCEL}


@pytest.mark.parametrize(
    ("caller", "resource", "allowed"),
    [
        (OWNER, TURN, OWN),
        (STRANGER, TURN, set()),
        (PLAYER, TURN, set()),
        (PLAYER, TABLE_TURN, OWN),
        (STRANGER, TABLE_TURN, set()),
        (OPERATOR, TURN, {Action.MODERATE}),
        (OPERATOR, TABLE_TURN, {Action.MODERATE}),
        (TICKET, TURN, {Action.READ}),
        (TICKET, Resource("turn-3", user("ayla")), set()),
        (TICKET._replace(user_id="bran"), TURN, set()),
        (FEED_TICKET, TURN, {Action.READ}),
        (FEED_TICKET, TURN._replace(within="character-2"), set()),
        (FEED_TICKET, TURN._replace(within=None), set()),
        (FEED_TICKET._replace(user_id="bran"), TURN, set()),
        (TICKET._replace(scopes=OPERATOR.scopes), TURN, {Action.READ}),
    ],
)
def test_actions_allowed(caller: Caller, resource: Resource, allowed: set[Action]) -> None:
    assert {action for action in Action if may(caller, action, resource)} == allowed


def test_user_does_not_own_resources_of_a_table_of_the_same_name() -> None:
    assert not may(OWNER, Action.READ, Resource("turn-1", Owner("table", "ayla")))


def test_a_scope_is_held_by_name() -> None:
    assert has_scope(OPERATOR, "admin")
    assert not has_scope(OWNER, "admin")


def test_seat_allows_what_it_allows_now() -> None:
    table = Table(1, "T", "DM", "olga", 0.0)
    mara = Caller("mara", frozenset({"tables"}))
    led = seated(mara, table, Seat("mara", "Mara", role="dm"))
    assert may(led, Action.WRITE, table.moderation)
    plays = seated(led, table, Seat("mara", "Mara"))
    assert may(plays, Action.READ, table.story)
    assert not may(plays, Action.WRITE, table.moderation)
    for olga in (None, Seat("olga", "Olga"), Seat("olga", "Olga", role="dm")):
        for has_dm in (False, True):
            owner = seated(Caller("olga", mara.scopes), replace(table, has_dm=has_dm), olga)
            leads = not has_dm or (olga is not None and olga.role == "dm")
            assert may(owner, Action.WRITE, table.moderation) is leads
            assert may(owner, Action.WRITE, table.property)
    gone = seated(plays, table, Seat("mara", "Mara", present=False))
    assert not may(gone, Action.READ, table.story)
