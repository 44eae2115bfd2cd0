"""Tables whose turns await their commit: kept or retold by anybody who sits there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from app.core.encoding import dump

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from serving import TIMEOUT, Live, Reply, Served, aside, refused
from tabling import NARRATIVE, RESPONSE, Guest, hear_aside, hear_until, party, script_of

STORY = f"{NARRATIVE}\n\n{RESPONSE}"
AGAIN = "The pier is silent."
AWAITS = "The turn counts once somebody commits it."
RETOLD_STORY = f"{AGAIN}\n\n{RESPONSE}"


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def asked_first(service: Served, *names: str, **fields: Any) -> tuple[int, list[Guest]]:
    return party(service, *names, commit="manual", **fields)


def folded(stream: Live) -> tuple[str, list[str]]:
    """Narrative and answer as a reader has them, and how often options came since the last one."""
    text = ""
    options: list[str] = []
    for event in stream.seen.events:
        if event.get("phase") == "retelling":
            text, options = "", []
        elif event["type"] == "token":
            text += event["content"]
        elif event["type"] == "player_options":
            options += event["player_options"]
    return text, options


def test_outcome_counts_once_a_player_keeps_it(
    at_table: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("olga")
    table, (owner, mara) = asked_first(at_table, "olga", "mara", character_id=character)
    with mara.follows(table) as stream:
        reply = owner.acts(table)
        assert (reply.status, reply.json()["message"]) == (202, STORY)
        stream.until("metadata", phase="awaiting_commit")
        model.then(script_of(narrative=AGAIN))
        assert mara.call("POST", f"/{table}/retell", {"guidance": "quieter"}).status == 202
        stream.until("metadata", phase="retelling")
        stream.until("metadata", phase="awaiting_commit")
        assert journey_log.narratives(character) == []
        assert STORY not in [line["content"] for line in owner.messages(table)]
        kept = mara.call("POST", f"/{table}/commit")
        assert (kept.status, kept.json()["turn_id"]) == (202, reply.json()["turn_id"])
        stream.until("complete")
        assert folded(stream) == (AGAIN + RESPONSE, ["Knock again", "Walk around", "Call out"])
    assert "quieter" in model.requests[-1].body.decode()
    assert journey_log.narratives(character) == [RETOLD_STORY]
    assert owner.messages(table)[-1]["content"] == RETOLD_STORY
    assert owner.call("GET", f"/{table}/tokens").json()["used"] > 0


def test_everybody_at_the_table_may_choose_and_nobody_else(at_table: Served) -> None:
    table, (owner, mara) = asked_first(at_table, "olga", "mara")
    for choice in ("commit", "retell"):
        refused(owner.call("POST", f"/{table}/{choice}"), 409, "not_awaiting_commit")
        stranger = Guest(at_table, "eve").call("POST", f"/{table}/{choice}")
        refused(stranger, 404, "not_found")
    assert owner.acts(table).status == 202
    assert mara.call("POST", f"/{table}/commit").status == 202


def test_turn_of_a_table_is_chosen_by_its_id_by_whoever_sits_there(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = asked_first(at_table, "olga", "mara")
    told = owner.acts(table).json()

    def chooses(guest: Guest, choice: str, body: Any = None) -> Reply:
        return at_table.call("POST", f"/turns/{told['turn_id']}/{choice}", body, **guest.headers)

    for choice in ("commit", "retell"):
        refused(chooses(Guest(at_table, "eve"), choice), 404, "turn_not_found")
    with mara.follows(table) as stream:
        stream.until("metadata", phase="awaiting_commit")
        model.then(script_of(narrative=AGAIN))
        assert chooses(mara, "retell", {"guidance": "quieter"}).json()["status"] == "retelling"
        stream.until("metadata", phase="retelling")
        stream.until("metadata", phase="awaiting_commit")
        assert chooses(mara, "commit").json()["status"] == "committed"
        stream.until("complete")
    assert chooses(mara, "commit").json()["status"] == "committed"
    assert owner.messages(table)[-1]["content"] == RETOLD_STORY
    owner.call("DELETE", f"/{table}/members/mara")
    refused(chooses(mara, "commit"), 404, "turn_not_found")


def test_every_generation_is_charged_to_the_table(at_table: Served) -> None:
    table, (owner,) = asked_first(at_table, "olga", token_budget=2_500)
    assert owner.acts(table).status == 202
    with owner.follows(table) as stream:
        assert owner.call("POST", f"/{table}/retell").status == 202
        stream.until("metadata", phase="retelling")
        stream.until("metadata", phase="awaiting_commit")
    reply = owner.call("POST", f"/{table}/retell")
    refused(reply, 429, "token_budget_exceeded")
    assert owner.call("POST", f"/{table}/commit").status == 202


def test_dungeon_master_may_edit_what_awaits_its_commit(
    at_table: Served, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("mara")
    table, (owner, mara) = asked_first(at_table, "olga", "mara")
    assert mara.joins(table, character_id=character).status == 200
    with mara.follows(table) as stream:
        assert mara.acts(table).status == 202
        edited = owner.call("POST", f"/{table}/approval", {"narrative": AGAIN})
        assert edited.status == 202
        stream.until("complete")
        assert folded(stream) == (AGAIN + RESPONSE, ["Knock again", "Walk around", "Call out"])
    assert journey_log.narratives(character) == [RETOLD_STORY]
    assert mara.messages(table)[-1]["content"] == RETOLD_STORY


def test_retelling_keeps_to_the_lines_as_they_are_by_then(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = asked_first(at_table, "olga", "mara")
    assert mara.acts(table).status == 202
    assert owner.call("PUT", f"/{table}", {"lines": ["spiders"]}).status == 200
    model.then(script_of(narrative="Spiders pour out."))
    with mara.follows(table) as stream:
        assert mara.call("POST", f"/{table}/retell").status == 202
        stream.until("metadata", error_type="llm_response_error")
        stream.until("metadata", phase="awaiting_commit")
    assert "spiders" in str(model.calls[-1])
    assert "Spiders" not in str(stream.seen.events)


def test_players_cannot_keep_an_outcome_that_waits_for_approval(at_table: Served) -> None:
    table, (owner, mara) = asked_first(at_table, "olga", "mara", approval_seconds=600)
    with owner.follows(table) as stream:
        acting = aside(mara.acts, table)
        stream.until("metadata", phase="approval")
        turn_id = owner.call("GET", f"/{table}/approval").json()["turn_id"]
        for choice in ("commit", "retell"):
            refused(mara.call("POST", f"/{table}/{choice}"), 409, "not_awaiting_commit")
            path = f"/turns/{turn_id}/{choice}"
            reply = at_table.call("POST", path, **mara.headers)
            refused(reply, 409, "not_awaiting_commit")
        retold = at_table.call("POST", f"/turns/{turn_id}/retell", **owner.headers)
        assert retold.status == 202
        stream.until("metadata", phase="retelling")
        stream.until("metadata", phase="approval")
        approved = owner.call("POST", f"/{table}/approval", {"decision": "approve"})
        assert approved.status == 202
        assert acting.result(TIMEOUT).status in (200, 202)


def test_x_card_cancels_an_outcome_that_awaits_its_commit(at_table: Served) -> None:
    table, (owner, mara) = asked_first(at_table, "olga", "mara")
    assert owner.acts(table).status == 202
    assert mara.call("POST", f"/{table}/x_card").json() == {"stopped": True}
    assert all(line["content"] != STORY for line in owner.messages(table))


def test_players_of_an_older_service_choose_over_their_socket(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner,) = asked_first(at_table, "olga")
    with owner.socket(f"/ws/{table}") as socket:
        hear_until(socket, "system")
        socket.send(dump({"sender": "Olga", "content": "I knock."}))
        hear_aside(socket, AWAITS)
        model.then(script_of(narrative=AGAIN))
        socket.send(dump({"type": "retell", "content": "quieter"}))
        hear_aside(socket, "The turn is retold.")
        hear_aside(socket, AWAITS)
        socket.send(dump({"type": "commit"}))
        (*_, end) = hear_until(socket, "stream_end")
        assert end["full_content"] == RETOLD_STORY


def test_answer_to_a_roll_is_shown_before_it_is_kept(at_table: Served, model: FakeModel) -> None:
    table, (owner,) = asked_first(at_table, "olga")
    with owner.socket(f"/ws/{table}") as socket:

        def shown() -> list[str]:
            """What the dungeon master says before its commit is asked for."""
            heard = hear_aside(socket, AWAITS)
            return [one["content"] for one in heard if one.get("message_type") == "dm"]

        hear_until(socket, "system")
        socket.send(dump({"type": "roll", "result": 17}))
        assert shown() == [STORY]
        model.then(script_of(narrative=AGAIN))
        socket.send(dump({"type": "retell", "content": "quieter"}))
        hear_aside(socket, "The turn is retold.")
        assert shown() == [RETOLD_STORY]
        socket.send(dump({"type": "commit"}))
        assert [one["type"] for one in hear_until(socket, "token_usage")] == ["token_usage"]


def test_players_of_a_campaign_choose_over_their_socket(at_table: Served, model: FakeModel) -> None:
    table, (owner,) = asked_first(at_table, "olga")
    with owner.socket(f"/ws/campaign/player?session_id={table}") as socket:
        socket.send(json.dumps({"type": "auth"}))
        hear_until(socket, "campaign_active")
        socket.send(dump({"type": "submit_turn", "message": "I knock."}))
        hear_until(socket, "metadata_update")
        model.then(script_of(narrative=AGAIN))
        at_table.wait_for(lambda: owner.call("POST", f"/{table}/retell").status == 202)
        heard = hear_until(socket, "metadata_update")
        chunks = [one["content"] for one in heard if one["type"] == "narrative_chunk"]
        assert "".join(chunks) == AGAIN
        at_table.wait_for(lambda: owner.call("POST", f"/{table}/commit").status == 202)
