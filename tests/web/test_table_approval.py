"""A human dungeon master approves an outcome before players see anything of it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from app.core.record import CommitRecord
from app.tables.approval import TableApproval
from app.tables.topics import TableTopics
from app.turns.choices import TurnChoices

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from serving import Live, Served, Stream, aside, refused
from tabling import (
    NARRATIVE,
    OPTIONS,
    RESPONSE,
    SCENE,
    Guest,
    hear,
    hear_aside,
    hear_until,
    party,
    script_of,
)

STORY = f"{NARRATIVE}\n\n{RESPONSE}"


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def watched(service: Served, **fields: Any) -> tuple[int, Guest, Guest]:
    """A table whose owner approves, and a player."""
    table, (owner, mara) = party(service, "olga", "mara", **({"approval_seconds": 3_600} | fields))
    return table, owner, mara


@pytest.mark.parametrize("deed", [{"content": "I knock."}, {"type": "roll", "result": 17}])
def test_players_of_an_older_service_are_told_to_wait_and_of_no_retelling(
    at_table: Served, model: FakeModel, deed: dict[str, Any]
) -> None:
    table, owner, mara = watched(at_table)
    with mara.socket(f"/ws/{table}") as socket:
        socket.send(json.dumps(deed))
        heard = hear_aside(socket, "The turn waits for the dungeon master's approval.")
        assert {one["type"] for one in heard} <= {"system", "message"}
        model.then(script_of(narrative="Again."))
        decides(owner, table, decision="retell")
        *_, waits_again = hear_until(socket, "system")
        assert waits_again == heard[-1]
        decides(owner, table)
        told = hear_until(socket, "message" if "type" in deed else "stream_end")
        assert {one["type"] for one in told} <= {"message", "stream", "stream_end"}
        assert told[-1].get("content", told[-1].get("full_content")) == f"Again.\n\n{RESPONSE}"


def decides(owner: Guest, table: int, **body: Any) -> Any:
    return owner.call("POST", f"/{table}/approval", body)


def text_of(seen: Stream) -> str:
    """All tokens as one text."""
    return "".join(event["content"] for event in seen.events if event["type"] == "token")


def waits(stream: Live) -> dict[str, Any]:
    return stream.until("metadata", phase="approval")


def test_players_see_and_keep_only_the_approved_text(
    at_table: Served, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("mara")
    table, owner, mara = watched(at_table)
    mara.joins(table, character_id=character)
    with owner.follows(table) as above, mara.follows(table) as below:
        acted = aside(mara.acts, table)
        waits(above)
        assert waits(below)["until"]
        drafts = [event for event in above.seen.events if event["type"] == "draft"]
        assert "".join(event["content"] for event in drafts) == NARRATIVE + RESPONSE
        held = owner.call("GET", f"/{table}/approval").json()
        assert (held["narrative"], held["player_response"]) == (NARRATIVE, RESPONSE)
        assert (held["player_options"], held["scene"]["dm_notes"]) == (OPTIONS, "Élise lies.")
        kinds = {event["type"] for event in below.seen.events}
        assert kinds == {"message", "metadata"} | (kinds & {"presence"})
        edited = {"narrative": "The pier is still.", "player_options": ["a", "b", "c"]}
        assert decides(owner, table, turn_id=held["turn_id"], **edited).status == 202
        for stream in (above, below):
            stream.until("complete")
    text = f"The pier is still.\n\n{RESPONSE}"
    assert text_of(below.seen) == f"The pier is still.{RESPONSE}"
    assert below.seen.of("draft") == []
    assert [event["player_options"] for event in below.seen.of("player_options")] == [
        ["a", "b", "c"]
    ]
    (scene,) = below.seen.of("scene")
    assert (scene["scene"], scene["dm_notes"]) == (SCENE, None)
    assert NARRATIVE not in str(below.seen.events)
    assert acted.result(300).json()["message"] == text
    assert journey_log.narratives(character) == [text]
    assert mara.messages(table)[-1]["content"] == text
    refused(decides(owner, table), 409, "not_awaiting_commit")


def test_nothing_waits_where_nobody_has_asked_for_it(at_table: Served) -> None:
    table, owner, mara = watched(at_table, approval_seconds=0)
    with mara.follows(table) as stream:
        assert mara.acts(table).status == 200
        stream.until("complete")
    assert text_of(stream.seen) == NARRATIVE + RESPONSE
    assert {"approval", "retelling"}.isdisjoint(event.get("phase") for event in stream.seen.events)
    refused(owner.call("GET", f"/{table}/approval"), 409, "not_awaiting_commit")


@pytest.mark.parametrize("how", ["veto", "x card"])
def test_stopped_draft_is_shown_to_nobody_and_the_table_goes_on(
    at_table: Served, journey_log: FakeJourneyLog, how: str
) -> None:
    character = journey_log.seed_character("mara")
    table, owner, mara = watched(at_table)
    mara.joins(table, character_id=character)
    with mara.follows(table) as stream:
        acted = aside(mara.acts, table)
        waits(stream)
        if how == "veto":
            assert decides(owner, table, decision="veto").status == 202
        else:
            assert mara.call("POST", f"/{table}/x_card").json() == {"stopped": True}
        assert stream.until("cancelled")["partial_narrative"] == ""
        refused(acted.result(300), 409, "turn_cancelled")
        assert NARRATIVE not in str(stream.seen.events)
        assert journey_log.narratives(character) == []
        owner.call("PUT", f"/{table}", {"approval_seconds": 0})
        assert mara.acts(table).json()["message"] == STORY


def test_narration_stands_if_nobody_decides_in_time(at_table: Served) -> None:
    table, _, mara = watched(at_table, approval_seconds=1)
    with mara.follows(table) as stream:
        assert mara.acts(table).json()["message"] == STORY
        stream.until("complete")
    assert text_of(stream.seen) == NARRATIVE + RESPONSE
    assert len(stream.seen.of("scene")) == 1


def test_retelling_waits_for_approval_too(at_table: Served, model: FakeModel) -> None:
    model.then(script_of(narrative="Spiders."), script_of(narrative="Crabs."))
    table, owner, mara = watched(at_table)
    with owner.follows(table) as above, mara.follows(table) as below:
        acted = aside(mara.acts, table)
        waits(above)
        first = owner.call("GET", f"/{table}/approval").json()["turn_id"]
        reply = decides(owner, table, decision="retell", guidance="no spiders")
        assert reply.json() == {"turn_id": first, "decision": "retell"}
        above.until("metadata", phase="retelling")
        waits(above)
        assert owner.call("GET", f"/{table}/approval").json()["narrative"] == "Crabs."
        assert decides(owner, table, player_response="").status == 202
        assert acted.result(300).json()["message"] == "Crabs."
        below.until("complete")
    assert "no spiders" in str(model.calls[1])
    assert "Spiders" not in str(below.seen.events)
    assert text_of(below.seen) == "Crabs."


@pytest.mark.parametrize(
    "stale",
    [
        {},
        {"narrative": "Mine."},
        {"decision": "veto"},
        {"decision": "retell", "guidance": "louder"},
    ],
    ids=["approve", "edit", "veto", "retell"],
)
def test_decision_about_an_earlier_narration_is_refused(
    at_table: Served, model: FakeModel, journey_log: FakeJourneyLog, stale: dict[str, str]
) -> None:
    """Of two who moderate, one has it retold while the other still reads the first one."""
    character = journey_log.seed_character("mara")
    model.then(script_of(narrative="Spiders."), script_of(narrative="Crabs."))
    table, owner, mara = watched(at_table)
    mara.joins(table, character_id=character)
    with owner.follows(table) as above:
        acted = aside(mara.acts, table)
        first = waits(above)
        seen = owner.call("GET", f"/{table}/approval").json()
        assert (first["telling"], seen["telling"]) == (1, 1)
        meant = {"turn_id": seen["turn_id"], "telling": 1}
        assert decides(owner, table, **meant, decision="retell").status == 202
        assert waits(above)["telling"] == 2
        problem = decides(owner, table, **meant, **stale)
        refused(problem, 409, "not_awaiting_commit")
        assert problem.json()["telling"] == 2
        refused(decides(owner, table, telling=1, **stale), 409, "not_awaiting_commit")
        assert owner.call("GET", f"/{table}/approval").json()["narrative"] == "Crabs."
        assert (len(model.calls), journey_log.narratives(character)) == (2, [])
        assert decides(owner, table, **(meant | {"telling": 2})).status == 202
        above.until("complete")
    told = f"Crabs.\n\n{RESPONSE}"
    assert acted.result(300).json()["message"] == told
    assert journey_log.narratives(character) == [told]
    refused(decides(owner, table, **(meant | {"telling": 2})), 409, "not_awaiting_commit")


def test_retelling_that_fails_leaves_the_narration_with_its_number(
    at_table: Served, model: FakeModel
) -> None:
    model.then(
        script_of(), Script(text='{"narrative": "Hello, and g'), script_of(narrative="Crabs.")
    )
    table, owner, mara = watched(at_table)
    with owner.follows(table) as above:
        acted = aside(mara.acts, table)
        tellings = [waits(above)["telling"]]
        for _ in range(2):
            assert decides(owner, table, decision="retell", telling=tellings[-1]).status == 202
            tellings.append(waits(above)["telling"])
        assert tellings == [1, 1, 2]
        assert decides(owner, table, telling=2).status == 202
        assert acted.result(300).json()["message"] == f"Crabs.\n\n{RESPONSE}"


def test_edit_that_was_judged_beside_a_retelling_is_none_of_it(
    at_table: Served, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The narration is retold while the words of the edit are judged."""
    model.then(script_of(narrative="Spiders."), script_of(narrative="Crabs."))
    table, owner, mara = watched(at_table)
    judges, judged = TableTopics.require_story, threading.Event()
    retold = threading.Event()

    async def slowly(*given: Any) -> None:
        judged.set()
        await asyncio.get_running_loop().run_in_executor(None, retold.wait, 20)
        await judges(*given)

    with owner.follows(table) as above:
        acted = aside(mara.acts, table)
        waits(above)
        with monkeypatch.context() as slow:
            slow.setattr(TableTopics, "require_story", slowly)
            edit = aside(decides, owner, table, player_response="No.")
            assert judged.wait(20)
            assert decides(owner, table, decision="retell").status == 202
            waits(above)
            retold.set()
            refused(edit.result(300), 409, "not_awaiting_commit")
        assert owner.call("GET", f"/{table}/approval").json()["narrative"] == "Crabs."
        assert decides(owner, table).status == 202
        assert acted.result(300).json()["message"] == f"Crabs.\n\n{RESPONSE}"


@pytest.mark.parametrize("faster", ["retell", "approve", "veto"])
def test_veto_beside_another_decision_is_none_of_what_waits_then(
    at_table: Served, model: FakeModel, monkeypatch: pytest.MonkeyPatch, faster: str
) -> None:
    """The other moderator decides after the veto has found what waits, and before it cancels that."""
    model.then(script_of(narrative="Spiders."), script_of(narrative="Crabs."))
    table, owner, mara = watched(at_table)
    finds, found, decided = TableApproval.waiting, threading.Event(), threading.Event()

    async def slowly(*given: Any) -> CommitRecord:
        record = await finds(*given)
        found.set()
        await asyncio.get_running_loop().run_in_executor(None, decided.wait, 20)
        return record

    with owner.follows(table) as above:
        acted = aside(mara.acts, table)
        waits(above)
        with monkeypatch.context() as slow:
            slow.setattr(TableApproval, "waiting", slowly)
            veto = aside(decides, owner, table, decision="veto", telling=1)
            assert found.wait(20)
        assert decides(owner, table, decision=faster).status == 202
        if faster == "retell":
            waits(above)
        decided.set()
        refused(veto.result(300), 409, "not_awaiting_commit")
        if faster == "retell":
            assert owner.call("GET", f"/{table}/approval").json()["narrative"] == "Crabs."
            assert decides(owner, table).status == 202
        above.until("cancelled" if faster == "veto" else "complete")
    assert acted.result(300).status == (409 if faster == "veto" else 200)


def test_retelling_that_the_budget_does_not_allow_is_refused(at_table: Served) -> None:
    table, owner, mara = watched(at_table)
    with owner.follows(table) as stream:
        mara_acts = aside(mara.acts, table)
        waits(stream)
        for budget in (1, 100_000):
            assert owner.call("PUT", f"/{table}", {"token_budget": budget}).status == 200
            reply = decides(owner, table, decision="retell")
            if budget == 1:
                refused(reply, 429, "token_budget_exceeded")
        assert reply.status == 202, reply.body
        waits(stream)
        turn = reply.json()["turn_id"]
        for method, path, status, error in (
            ("GET", "", 404, "turn_not_found"),
            ("GET", "/events", 404, "turn_not_found"),
            ("POST", "/commit", 409, "not_awaiting_commit"),
            ("POST", "/retell", 409, "not_awaiting_commit"),
            ("POST", "/cancel", 404, "turn_not_found"),
        ):
            # nobody gets round the approval by the turn's own addresses
            found = at_table.call(method, f"/turns/{turn}{path}", None, **mara.headers)
            refused(found, status, error)
        assert decides(owner, table, decision="approve").status == 202
    assert mara_acts.result(300).status == 200


def test_invalid_decisions_and_callers_are_refused(at_table: Served) -> None:
    table, owner, mara = watched(at_table)
    with mara.follows(table) as stream:
        acted = aside(mara.acts, table)
        waits(stream)
        for method in ("GET", "POST"):
            refused(mara.call(method, f"/{table}/approval"), 403, "forbidden")
        other = "00000000-0000-4000-8000-000000000000"
        refused(decides(owner, table, turn_id=other), 409, "not_awaiting_commit")
        for body, field in (
            ({"decision": "veto", "narrative": "x"}, "edited"),
            ({"guidance": "x"}, "guidance"),
            ({"player_options": ["one"]}, "player_options"),
            ({"narrative": "x" * 31_990, "player_response": "y" * 31_990}, "narrative"),
        ):
            assert field in str(refused(decides(owner, table, **body), 422, "validation_error"))
        assert decides(owner, table).status == 202
        assert acted.result(300).json()["message"] == STORY


def test_failed_draft_is_shown_to_nobody(at_table: Served, model: FakeModel) -> None:
    gate = threading.Event()
    model.then(Script(script_of(narrative=f"{NARRATIVE} {'x' * 60_000}").text))
    gate.set()
    table, _, mara = watched(at_table)
    with mara.follows(table) as stream:
        refused(mara.acts(table), 502, "llm_response_error")
        failed = stream.until("error")
    assert "partial_narrative" not in failed
    assert NARRATIVE not in str(stream.seen.events)


def test_sockets_of_a_campaign_show_the_draft_only_to_the_dungeon_master(
    at_table: Served,
) -> None:
    table, owner, mara = watched(at_table)
    paths = [f"/ws/campaign/{who}?session_id={table}" for who in ("dm", "player")]
    with owner.socket(paths[0]) as above, mara.socket(paths[1]) as below:
        for socket in (above, below):
            socket.send('{"type": "auth", "token": ""}')
            hear_until(socket, "campaign_active")
        below.send('{"type": "submit_turn", "message": "I knock."}')
        draft = ""
        while draft != NARRATIVE + RESPONSE:
            message = hear(above)
            draft += message.get("content", "") if message["type"].endswith("_chunk") else ""
        at_table.wait_for(lambda: owner.call("GET", f"/{table}/approval").status == 200)
        assert decides(owner, table, narrative="Still.", player_response="").status == 202
        heard = hear_until(below, "metadata_update")
        chunks = [one["content"] for one in heard if one["type"] == "narrative_chunk"]
        assert "".join(chunks) == "Still."
        assert NARRATIVE not in json.dumps(heard)


@pytest.mark.parametrize("decision", ["commit", "retell"])
def test_player_decides_nothing_at_the_moment_in_which_a_draft_begins_to_wait(
    at_table: Served, model: FakeModel, monkeypatch: pytest.MonkeyPatch, decision: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", approval_seconds=600)
    with owner.follows(table) as stream:
        acted = aside(mara.acts, table)
        stream.until("metadata", phase="approval")

        async def not_yet(_: TurnChoices, turn_id: str) -> None:
            return None  # as it was a moment ago

        with monkeypatch.context() as before:
            before.setattr(TurnChoices, "held", not_yet)
            refused(mara.call("POST", f"/{table}/{decision}"), 409, "not_awaiting_commit")
        calls = len(model.calls)
        assert owner.call("GET", f"/{table}/approval").status == 200
        assert owner.call("POST", f"/{table}/approval", {"narrative": "No."}).status == 202
        stream.until("complete")
    assert acted.result(300).json()["message"].startswith("No.")
    assert len(model.calls) == calls
