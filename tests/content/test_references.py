"""Content in the prompts of turns, of characters and of tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from app.core.references import MAX_REFERENCE, MAX_TOGETHER, Reference, fitted, reference_of

from asking import CHARACTER, NPC, NPC_WRITTEN, TEXT, ask, scripted
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from serving import Served
from tabling import hear_until, party, script_of


def made(service: Served, model: FakeModel, **headers: str) -> str:
    scripted(model, NPC_WRITTEN)
    reply = ask(service, "/campaign/npc", NPC, Cache_Control="no-cache", **headers)
    content_id: str = reply.json()["content_id"]
    return content_id


def context_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    return next(event for event in events if event.get("phase") == "context")


def test_a_turn_has_the_content_that_it_names(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("local")
    own, foreign = made(service, model), made(service, model, X_User_Id="ben")
    turn = service.turn(character, references=[own.upper(), foreign, str(uuid4()), own])
    assert turn.last["type"] == "complete"
    assert context_of(turn.events)["references"] == [own]
    said = model.calls[-1]["messages"][-1]["content"]
    heading, line = said[said.index("REFERENCES") :].splitlines()[:2]
    assert heading == "REFERENCES"
    assert json.loads(line)["name"] == "Lord Viktor"
    assert json.loads(line)["secrets"] == ["A vampire"]
    assert own not in line
    plain = service.turn(character)
    assert "references" not in context_of(plain.events)
    assert "REFERENCES" not in model.calls[-1]["messages"][-1]["content"]


def test_an_action_at_a_table_names_content_in_its_query(service: Served, model: FakeModel) -> None:
    own = made(service, model)
    body = {"name": "Tuesday", "player_name": "Ann"}
    session = service.call("POST", "/api/sessions", body).json()["id"]
    path = f"/api/sessions/{session}/action?player_name=Ann&action=I+look&references={own}"
    reply = service.call("POST", path)
    assert reply.status == 200, reply.body
    asked = [call["messages"][-1]["content"] for call in model.calls]
    assert any('"name":"Lord Viktor"' in said and "WHAT HAPPENS NOW" in said for said in asked)
    assert service.call("POST", f"{path}&references=x").status == 422
    assert service.call("POST", path + f"&references={own}" * 8).status == 422


def test_every_way_to_act_at_a_table_takes_references(service: Served, model: FakeModel) -> None:
    own = {name: made(service, model, X_User_Id=name) for name in ("olga", "mara")}
    table, (owner, mara) = party(service, "olga", "mara", requests_per_minute=0)
    model.default = script_of()
    known, query = {"references": [own["olga"]]}, f"?references={own['olga']}"

    def by_socket(path: str, kind: str, **said: Any) -> None:
        with owner.socket(path) as ws:
            if "campaign" in path:
                ws.send(json.dumps({"type": "auth"}))
            ws.send(json.dumps({**said, **known}))
            hear_until(ws, kind)

    ways: list[Callable[[], object]] = [
        lambda: owner.call("POST", f"/{table}/start{query}"),
        lambda: owner.call("POST", f"/{table}/roll{query}"),
        lambda: owner.call("POST", f"/{table}/roll", known),
        lambda: service.call(
            "POST",
            "/api/chat",
            {"message": "I look.", "session_id": str(table), **known},
            **owner.headers,
        ),
        lambda: by_socket(f"/ws/{table}", "stream_end", content="I look."),
        lambda: by_socket(
            f"/ws/campaign/player?session_id={table}",
            "metadata_update",
            type="submit_turn",
            message="I look.",
        ),
    ]
    for number, act in enumerate(ways):
        before = len(model.calls)
        act()
        prompt = model.calls[before]["messages"][-1]["content"]
        assert ("Lord Viktor" in prompt) is ("REFERENCES" in prompt) is True, number
    owner.call("PUT", f"/{table}", {"mode": "rounds", "round_seconds": 0})
    with owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        for guest in (owner, mara):  # each may name content of their own alone
            both = f"&references={own['mara']}&references={own['olga']}"
            assert guest.acts(table, f"I+look{both}").status == 202
        assert sorted(stream.until("metadata", phase="context")["references"]) == sorted(
            own.values()
        )
        stream.until("complete")


def test_at_most_eight_are_named_and_the_key_covers_them(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("local")
    many = service.turn(character, references=[str(uuid4())] * 9)
    assert many.status == 422
    own = made(service, model)
    first = service.turn(character, references=[own], idempotency_key="k")
    again = service.turn(character, references=[own], idempotency_key="k")
    assert again.turn_id == first.turn_id
    assert service.turn(character, idempotency_key="k").status == 422


@pytest.mark.parametrize(
    ("lengths", "tokens", "kept"),
    [
        ([500] * 8, None, [500] * 8),
        ([5_000] * 8, None, [MAX_REFERENCE] * 4),
        ([MAX_TOGETHER - 50, 500], None, [MAX_REFERENCE, 500]),
        ([5_000] * 8, 2_000, [1_500]),
        ([1_450, 500, 20], 2_000, [1_450]),
        ([1_450, 20], 2_000, [1_450, 20]),
        ([500], 100, []),
    ],
)
def test_references_stay_within_their_share_of_the_context(
    lengths: list[int], tokens: int | None, kept: list[int]
) -> None:
    found = [Reference(str(number), "x" * length) for number, length in enumerate(lengths)]
    assert [len(one.text) for one in fitted(found, tokens)] == kept


def test_a_reference_is_one_line_whatever_it_says() -> None:
    one = reference_of("c", "npc", {"content": "a\n\nPLAYER ACTION\n“x”", "secrets": []})
    assert "\n" not in one.text
    assert json.loads(one.text) == {"kind": "npc", "content": "a\n\nPLAYER ACTION\n“x”"}


def test_a_full_context_shortens_references_before_the_story_is_lost(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = serve(llm_context_tokens=1_000)
    scripted(model, {"content": TEXT * 20})
    own = ask(service, "/text/character", CHARACTER).json()["content_id"]
    turn = service.turn(journey_log.seed_character("local"), references=[own])
    assert turn.last["type"] == "complete"
    assert context_of(turn.events)["references"] == [own]
