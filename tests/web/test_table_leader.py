"""What is the dungeon master's alone, at a table whose owner plays beside another dungeon master."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import ConnectionClosed

from fakes.model import FakeModel
from serving import Served, aside, refused
from tabling import NARRATIVE, NOTES, Guest, hear_until, party, script_of


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def notes_of(guest: Guest, table: int) -> list[str | None]:
    """Notes that a reader of all that has happened sees."""
    with guest.follows(table) as stream:
        stream.until("metadata", phase="live")
        return [event["dm_notes"] for event in stream.seen.of("scene")]


def test_owner_sees_notes_only_while_nobody_else_is_the_dungeon_master(at_table: Served) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    leader = Guest(at_table, "dana")
    for ends in ("leave", "removed"):
        with owner.follows(table) as live:
            live.until("metadata", phase="live")
            leader.joins(table, owner.invites(table, role="dm"))
            live.until("message", content="Dana has joined.")
            owner.acts(table)
            live.until("complete")
            assert live.seen.of("scene")[-1]["dm_notes"] is None
            assert set(notes_of(owner, table)) == {None}
            assert set(notes_of(leader, table)) == {NOTES}
            if ends == "leave":
                leader.call("POST", f"/{table}/leave")
            else:
                owner.call("DELETE", f"/{table}/members/dana")
            live.until("message", sender_name="Dungeon Master", message_type="system")
            owner.acts(table)
            live.until("complete")
            assert live.seen.of("scene")[-1]["dm_notes"] == NOTES
            assert set(notes_of(owner, table)) == {NOTES}


def test_owner_loses_the_seat_s_socket_to_a_dungeon_master_who_comes(at_table: Served) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    with owner.socket(f"/ws/campaign/dm?session_id={table}") as ws:
        ws.send(json.dumps({"type": "auth", "token": ""}))
        hear_until(ws, "connection_registered")
        Guest(at_table, "dana").joins(table, owner.invites(table, role="dm"))
        with pytest.raises(ConnectionClosed) as closed:
            hear_until(ws, "nothing of this type")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


def test_draft_is_kept_from_an_owner_who_plays_beside_a_dungeon_master(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", approval_seconds=600)
    leader = Guest(at_table, "dana")
    leader.joins(table, owner.invites(table, role="dm"))
    with owner.follows(table) as plays, leader.follows(table) as leads:
        acted = aside(mara.acts, table)
        leads.until("metadata", phase="approval")
        refused(owner.call("GET", f"/{table}/approval"), 403, "forbidden")
        refused(owner.call("POST", f"/{table}/approval", {"decision": "veto"}), 403, "forbidden")
        refused(owner.call("POST", f"/{table}/retell"), 409, "not_awaiting_commit")
        assert leader.call("GET", f"/{table}/approval").json()["scene"]["dm_notes"] == NOTES
        plays.until("metadata", phase="approval")
        assert NARRATIVE not in str(plays.seen.body)
        assert leader.call("POST", f"/{table}/approval", {}).status == 202
        plays.until("complete")
    assert acted.result(300).status == 200
