"""What people write at a table with lines and veils: each text, over each transport that takes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from serving import Reply, Served, aside, refused
from tabling import NARRATIVE, OPTIONS, RESPONSE, Guest, hear, hear_until, party, script_of

LINE, VEIL, FINE = "Giant\u00a0SPIDERS crawl.", "They use torture.", "The bell rings."
RULES: Final = {"lines": ["giant spiders"], "veils": ["torture"]}
TALK = {LINE: 422, VEIL: 200, FINE: 200}
"""Of members: what happens out of sight may be talked of, and acted towards."""
STORY = {LINE: 422, VEIL: 422, FINE: 200}
"""Of the dungeon master, who tells the story."""
PRIVATE = {LINE: 200, VEIL: 200, FINE: 200}
"""What nobody but the model reads: what comes of it is judged."""

HTTP: list[tuple[str, dict[str, int], str, str, str, dict[str, Any]]] = [
    ("message", TALK, "content", "POST", "/{}/messages", {"sender_name": "Olga"}),
    (
        "system",
        TALK,
        "content",
        "POST",
        "/{}/messages",
        {"sender_name": "Olga", "message_type": "system"},
    ),
    (
        "dm message",
        STORY,
        "content",
        "POST",
        "/{}/messages",
        {"sender_name": "Dungeon Master", "message_type": "dm"},
    ),
    ("whisper", STORY, "content", "POST", "/{}/whisper", {"user_id": "mara"}),
    ("question", PRIVATE, "question", "POST", "/{}/ask", {}),
    ("shared question", TALK, "question", "POST", "/{}/ask", {"shared": True}),
    ("summary", STORY, "summary", "PUT", "/{}/summary", {}),
    ("roll's words", TALK, "content", "POST", "/{}/roll", {}),
    ("reported roll's words", TALK, "content", "POST", "/{}/roll", {"result": 9}),
    ("roll's type", TALK, "roll_type", "POST", "/{}/roll", {}),
    ("reported roll's dice", TALK, "dice", "POST", "/{}/roll", {"result": 9}),
    ("chat", TALK, "message", "POST", "/api/chat", {}),
]
CAMPAIGN: Final = "/ws/campaign/player?session_id={}"
SOCKETS: list[tuple[str, dict[str, int], str, str, dict[str, Any], str]] = [
    ("action", TALK, "content", "/ws/{}", {"type": "action"}, "message"),
    ("message", TALK, "content", "/ws/{}", {"type": "message"}, "message"),
    ("dice", TALK, "content", "/ws/{}", {"type": "dice"}, "message"),
    ("roll", TALK, "content", "/ws/{}", {"type": "roll"}, "message"),
    ("roll's type", TALK, "roll_type", "/ws/{}", {"type": "roll"}, "message"),
    ("question", PRIVATE, "content", "/ws/{}", {"type": "ask"}, "answer"),
    ("shared question", TALK, "content", "/ws/{}", {"type": "ask", "shared": True}, "answer"),
    ("action", TALK, "message", CAMPAIGN, {"type": "submit_turn"}, "turn_started"),
    ("question", PRIVATE, "message", CAMPAIGN, {"type": "ask"}, "turn_message"),
    ("shared question", TALK, "message", CAMPAIGN, {"type": "ask", "shared": True}, "turn_message"),
]


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def kept_out(reply: Reply, field: str) -> None:
    problem = refused(reply, 422, "validation_error")
    assert [row["field"] for row in problem["errors"]] == [field]
    assert problem["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize("mode", ["turns", "rounds"])
@pytest.mark.parametrize("text", [LINE, VEIL, FINE])
def test_action_that_crosses_a_line_is_not_shown_and_not_played(
    at_table: Served, model: FakeModel, text: str, mode: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", mode=mode, **RULES)
    before = owner.messages(table)
    path = f"/{table}/action?action={text.replace(' ', '+').replace(chr(0xA0), '%C2%A0')}"
    reply = mara.call("POST", path, Idempotency_Key="once")
    if TALK[text] == 422:
        kept_out(reply, "action")
        assert (owner.messages(table), model.calls) == (before, [])
        better = mara.call("POST", f"/{table}/action?action=go", Idempotency_Key="once")
        assert better.status in (200, 202)  # the key is free
    else:
        assert reply.status in (200, 202)


@pytest.mark.parametrize("text", [LINE, VEIL, FINE])
@pytest.mark.parametrize(
    ("expected", "field", "method", "path", "body"),
    [row[1:] for row in HTTP],
    ids=[row[0] for row in HTTP],
)
def test_text_over_http(
    at_table: Served,
    model: FakeModel,
    expected: dict[str, int],
    field: str,
    method: str,
    path: str,
    body: dict[str, Any],
    text: str,
) -> None:
    table, (owner, _) = party(at_table, "olga", "mara", **RULES)
    said, before = {**body, field: text}, owner.messages(table)
    if path == "/api/chat":
        address, said = path, {**said, "session_id": str(table)}
        reply = at_table.call(method, address, said, **owner.headers)
    else:
        reply = owner.call(method, path.format(table), said)
    if expected[text] == 200:
        assert reply.status == 200, reply.body
        return
    kept_out(reply, field)
    assert (owner.messages(table), model.calls) == (before, [])
    assert owner.call("GET", f"/{table}/summary").json()["summary"] == ""


@pytest.mark.parametrize("text", [LINE, VEIL, FINE])
@pytest.mark.parametrize(
    ("expected", "field", "path", "said", "answered"),
    [row[1:] for row in SOCKETS],
    ids=[f"{row[0]}-{row[3][4:12]}" for row in SOCKETS],
)
def test_text_over_a_socket(
    at_table: Served,
    model: FakeModel,
    expected: dict[str, int],
    field: str,
    path: str,
    said: dict[str, Any],
    answered: str,
    text: str,
) -> None:
    table, (owner, _) = party(at_table, "olga", "mara", **RULES)
    before = owner.messages(table)
    with owner.socket(path.format(table)) as ws:
        if path == CAMPAIGN:
            ws.send(json.dumps({"type": "auth", "token": ""}))
            hear_until(ws, "campaign_active")
        else:
            assert [hear(ws)["type"], hear(ws)["type"]] == ["system", "system"]
        ws.send(json.dumps({**said, field: text}))
        if expected[text] == 200:
            assert "error" not in [one["type"] for one in hear_until(ws, answered)]
            return
        error = hear_until(ws, "turn_error" if path == CAMPAIGN else "error")[-1]
        assert f"{field}: has" in (error.get("content") or error["error"])
        assert (owner.messages(table), model.calls) == (before, [])
        ws.send(json.dumps({**said, field: FINE}))  # the socket goes on
        hear_until(ws, answered)


# -- what the dungeon master approves --------------------------------------------------------------

Edit = Callable[[str], dict[str, Any]]
EDITS: list[tuple[str, Edit]] = [
    ("narrative", lambda text: {"narrative": text}),
    ("player_response", lambda text: {"player_response": text}),
    ("player_options", lambda text: {"player_options": [text, "Run", "Hide"]}),
]


@pytest.mark.parametrize("text", [LINE, VEIL])
@pytest.mark.parametrize(("field", "edit"), EDITS)
def test_edit_that_crosses_a_line_is_refused_and_what_waits_goes_on_waiting(
    at_table: Served, journey_log: FakeJourneyLog, field: str, edit: Edit, text: str
) -> None:
    character = journey_log.seed_character("olga")
    fields = {"approval_seconds": 600, "character_id": character, **RULES}
    table, (owner, mara) = party(at_table, "olga", "mara", **fields)
    with owner.follows(table) as stream, mara.follows(table) as other:
        acted = aside(owner.acts, table)
        stream.until("metadata", phase="approval")
        held = owner.call("GET", f"/{table}/approval").json()
        kept_out(owner.call("POST", f"/{table}/approval", edit(text)), field)
        assert owner.call("GET", f"/{table}/approval").json() == held
        assert journey_log.narratives(character) == []
        assert owner.call("POST", f"/{table}/approval", edit(FINE)).status == 202
        other.until("complete")
        assert text not in str(other.seen.events)
    assert acted.result(300).status == 200
    assert len(journey_log.narratives(character)) == 1


def test_passage_may_not_begin_in_the_narrative_and_end_in_the_answer(at_table: Served) -> None:
    table, (owner, _) = party(at_table, "olga", "mara", approval_seconds=600, **RULES)
    with owner.follows(table) as stream:
        aside(owner.acts, table)
        stream.until("metadata", phase="approval")
        edit = {"narrative": "It is a giant", "player_response": "Spiders' nest."}
        kept_out(owner.call("POST", f"/{table}/approval", edit), "narrative")


def test_what_the_dungeon_master_leaves_as_it_is_is_approved(at_table: Served) -> None:
    table, (owner, _) = party(at_table, "olga", "mara", approval_seconds=600, **RULES)
    with owner.follows(table) as stream:
        acted = aside(owner.acts, table)
        stream.until("metadata", phase="approval")
        changed = {"player_options": [*OPTIONS[:2], "Sing"]}
        assert owner.call("POST", f"/{table}/approval", changed).status == 202
    assert acted.result(300).json()["message"] == f"{NARRATIVE}\n\n{RESPONSE}"


@pytest.mark.parametrize("path", ["", "commit"])
def test_guidance_may_name_a_line_and_the_retelling_may_not(
    at_table: Served, model: FakeModel, path: str
) -> None:
    rules = {"commit": "manual"} if path else {"approval_seconds": 600}
    table, (owner, _) = party(at_table, "olga", "mara", **RULES, **rules)
    phase = "awaiting_commit" if path else "approval"
    again = {"guidance": LINE} if path else {"decision": "retell", "guidance": LINE}
    with owner.follows(table) as stream:
        aside(owner.acts, table)
        stream.until("metadata", phase=phase)
        model.then(Script(script_of(narrative="Giant spiders!").text))
        retelling = owner.call("POST", f"/{table}/{'retell' if path else 'approval'}", again)
        assert retelling.status == 202
        stream.until("metadata", phase=phase)
        assert "piders" not in str(stream.seen.events)


# -- the service's own moderation ------------------------------------------------------------------


def test_edits_of_the_dungeon_master_are_judged_as_a_narration_is(
    serve: Callable[..., Served], model: FakeModel, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("dark secret\n", "utf-8")
    model.default = script_of()
    service = serve(moderation="words", moderation_words_file=str(words))
    owner = Guest(service, "olga")
    table = owner.opens(approval_seconds=600)
    with owner.follows(table) as stream:
        acted = aside(owner.acts, table)
        stream.until("metadata", phase="approval")
        edit = {"narrative": "It is a dark secret."}
        kept_out(owner.call("POST", f"/{table}/approval", edit), "narrative")
        assert owner.call("POST", f"/{table}/approval", {"narrative": FINE}).status == 202
    assert acted.result(300).status == 200


# -- names -----------------------------------------------------------------------------------------

NAMES: list[tuple[str, str, Any]] = [
    ("sender_name", "/api/sessions/{}/messages", {"sender_name": LINE, "content": FINE}),
    (
        "sender_name",
        "/api/sessions/{}/messages",
        {"sender_name": LINE, "content": FINE, "message_type": "dm"},
    ),
    (
        "sender_name",
        "/api/sessions/{}/messages",
        {"sender_name": LINE, "content": FINE, "message_type": "system"},
    ),
    ("player_name", "/api/sessions/{}/action?action=go&player_name=giant+spiders", None),
    ("player_name", "/api/sessions/{}/roll", {"player_name": LINE}),
    ("player_name", "/api/sessions/{}/join", {"player_name": LINE}),
    (
        "player_character.character_name",
        "/api/chat",
        {"message": FINE, "player_character": {"character_name": LINE}},
    ),
]


@pytest.mark.parametrize(("field", "path", "body"), NAMES)
def test_name_that_crosses_a_line_is_not_shown(
    at_table: Served, model: FakeModel, field: str, path: str, body: Any
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", **RULES)
    before = owner.messages(table)
    said = {**body, "session_id": str(table)} if path == "/api/chat" else body
    guest = owner if "message_type" in (body or {}) else mara
    kept_out(at_table.call("POST", path.format(table), said, **guest.headers), field)
    assert (owner.messages(table), model.calls) == (before, [])


@pytest.mark.parametrize("kind", ["action", "message", "roll", "dice"])
def test_sender_that_crosses_a_line_is_not_shown(
    at_table: Served, model: FakeModel, kind: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", **RULES)
    before = owner.messages(table)
    with mara.socket(f"/ws/{table}") as ws:
        ws.send(json.dumps({"type": kind, "sender": LINE, "content": FINE}))
        assert "sender: has" in hear_until(ws, "error")[-1]["content"]
    assert (owner.messages(table), model.calls) == (before, [])


def test_player_keeps_a_name_that_was_there_before_the_line(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    assert owner.call("PUT", f"/{table}", {"lines": ["mara"]}).status == 200
    assert mara.acts(table).status == 200
