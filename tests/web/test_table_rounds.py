"""Rounds: the players' actions are collected, then one turn plays all of them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.rounds import PLAYED, Round
from app.core.tables import Seat
from app.tables.budget import RESERVED
from app.tables.round_turns import GOES_ON, NO_BUDGET

from fakes.journey_log import FakeJourneyLog, answers
from fakes.model import FakeModel, Script
from journal import NOON
from serving import Live, Served, refused, turn_body
from tabling import NARRATIVE, RESPONSE, Guest, hear, hear_until, party, script_of

UNKNOWN = "6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a99"
STORY = f"{NARRATIVE}\n\n{RESPONSE}"


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def in_rounds(service: Served, *names: str, **fields: Any) -> tuple[int, list[Guest]]:
    """A table without a deadline, unless the call sets one."""
    return party(service, *names, **({"mode": "rounds", "round_seconds": 0} | fields))


def played(stream: Live) -> dict[str, Any]:
    """The beginning of the next turn, once it has ended."""
    start = stream.until("metadata", phase="start")
    stream.until("complete")
    return start


def deeds(start: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(one["player_name"], one["user_action"], one["played"]) for one in start["deeds"]]


def test_one_turn_plays_all_deeds_and_each_journey_gets_its_own_part(
    at_table: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    names = ("olga", "mara", "otto")
    characters = {name: journey_log.seed_character(name) for name in names[:2]}
    table, (owner, mara, otto) = in_rounds(at_table, *names, character_id=characters["olga"])
    assert mara.joins(table, character_id=characters["mara"]).status == 200
    with otto.follows(table) as stream:
        stream.until("metadata", phase="live")
        first = owner.acts(table, "one")
        assert first.status == 202
        assert first.header("Location") == f"/api/sessions/{table}/round"
        assert first.json() == {
            "round": 1,
            "acted": ["Olga"],
            "waiting": ["Mara", "Otto"],
            "away": [],
            "until": None,
            "closed": False,
            "failed": False,
        }
        assert mara.acts(table, "two").json()["waiting"] == ["Otto"]
        assert model.calls == []
        assert otto.acts(table, "three").status == 202
        start = played(stream)
    assert (start["occasion"], start["round"]) == ("round", 1)
    assert deeds(start) == [
        ("Olga", "one", False),
        ("Mara", "two", False),
        ("Otto", "three", False),
    ]
    (call,) = model.calls
    asked = json.dumps(call).replace("\\", "")
    assert all(text in asked for text in ('"Olga": "one"', '"Mara": "two"', "at once"))
    said = [(row["message_type"], row["content"]) for row in otto.messages(table)]
    assert [row for row in said if row[0] != "system"] == [
        ("player", "one"),
        ("player", "two"),
        ("player", "three"),
        ("dm", STORY),
    ]
    written = {
        request.path.split("/")[2]: request.json()["user_action"]
        for request in journey_log.requests
        if request.method == "POST" and request.path.endswith("/narrative")
    }
    assert written == {characters["olga"]: "one", characters["mara"]: "two"}
    assert [journey_log.narratives(one) for one in characters.values()] == [[STORY], [STORY]]
    assert owner.call("GET", f"/{table}/round").json()["round"] == 2


def test_a_refused_part_of_a_journey_leaves_the_others_and_is_reported(
    at_table: Served, journey_log: FakeJourneyLog
) -> None:
    mine = journey_log.seed_character("mara")
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    mara.joins(table, character_id=mine)
    owner.joins(table, character_id=UNKNOWN)
    with owner.follows(table) as stream:
        mara.acts(table, "one")
        owner.acts(table, "two")
        written = [stream.until("write", subsystem="narrative") for _ in range(2)]
        summary = stream.until("complete")["subsystem_summary"]
    assert [receipt["success"] for receipt in written] == [True, False]
    assert summary["narrative_persisted"] is False
    assert summary["narrative_error"]
    assert journey_log.narratives(mine) == [STORY]


def written(journey_log: FakeJourneyLog) -> list[tuple[str, str, str]]:
    """Users, characters and actions of the narratives that were sent, sorted."""
    return sorted(
        (request.headers["x-user-id"], request.path.split("/")[2], request.json()["user_action"])
        for request in journey_log.requests
        if request.method == "POST" and request.path.endswith("/narrative")
    )


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("why", ["unknown", "of another player", "not readable"])
def test_round_is_told_to_the_others_where_a_character_is_not_to_be_had(
    at_table: Served, journey_log: FakeJourneyLog, why: str, first: bool
) -> None:
    """And to the player alone it is said that their journey has nothing of it."""
    good = journey_log.seed_character("mara")
    bad = {"unknown": UNKNOWN, "of another player": good}.get(why)
    if bad is None:
        bad = journey_log.seed_character("olga")
        journey_log.always("context", answers(500), bad)
        journey_log.always("narrative", answers(422), bad)
    table, (owner, mara, otto) = in_rounds(at_table, "olga", "mara", "otto", character_id=bad)
    mara.joins(table, character_id=good)
    with otto.follows(table) as stream:
        for guest in (owner, mara, otto) if first else (mara, otto, owner):
            assert guest.acts(table, guest.name).status == 202
        start = played(stream)
    assert {name for name, _, _ in deeds(start)} == {"Olga", "Mara", "Otto"}
    summary = stream.seen.events[-1]["subsystem_summary"]
    assert summary["narrative_persisted"] is False
    assert journey_log.narratives(good) == [STORY]
    assert written(journey_log) == [("mara", good, "mara"), ("olga", bad, "olga")]
    notices = [
        [row for row in guest.messages(table) if "your character's journey" in row["content"]]
        for guest in (owner, mara, otto)
    ]
    (notice,), *others = notices
    assert others == [[], []]
    assert notice["message_type"] == "system"
    assert notice["content"].startswith("What happened in round 1 could not be added")
    assert summary["narrative_error"] in notice["content"]
    assert [row["content"] for row in otto.messages(table)].count(STORY) == 1
    at_table.wait_for(lambda: owner.call("GET", f"/{table}/round").json()["round"] == 2)


def test_round_fails_for_all_while_journey_log_answers_for_none(
    at_table: Served, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    for guest in (owner, mara):
        guest.joins(table, character_id=journey_log.seed_character(guest.name))
    journey_log.always("context", answers(500))
    with owner.follows(table) as stream:
        for guest in (owner, mara):
            guest.acts(table)
        error = stream.until("error")
    assert (error["error_type"], error["recoverable"]) == ("journey_log_error", True)
    assert model.calls == []


def test_round_does_not_wait_for_a_character_that_plays_elsewhere(
    at_table: Served, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    mine, yours = journey_log.seed_character("olga"), journey_log.seed_character("mara")
    table, (owner, mara) = in_rounds(at_table, "olga", "mara", character_id=mine)
    mara.joins(table, character_id=yours)
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=4))
    body = turn_body(mine, "I go for a walk.")
    with (
        owner.follows(table) as stream,
        at_table.open("POST", "/turn/stream", body, **owner.headers) as response,
    ):
        alone = Live(response)
        alone.until("token")
        for guest in (owner, mara):
            assert guest.acts(table, guest.name).status == 202
        played(stream)
        assert written(journey_log) == [("mara", yours, "mara"), ("olga", mine, "olga")]
        gate.set()
        alone.until("complete")
    at_table.wait_for(lambda: owner.call("GET", f"/{table}/round").json()["round"] == 2)
    assert len(model.calls) == 2


def test_deed_is_of_the_character_that_its_player_has_when_the_round_ends(
    at_table: Served, journey_log: FakeJourneyLog
) -> None:
    wrong, right = journey_log.seed_character("olga"), journey_log.seed_character("olga")
    table, (owner, mara) = in_rounds(at_table, "olga", "mara", character_id=wrong)
    with owner.follows(table) as stream:
        assert owner.acts(table, "one").status == 202
        owner.joins(table, character_id=right)
        mara.acts(table, "two")
        played(stream)
    assert (journey_log.narratives(wrong), journey_log.narratives(right)) == ([], [STORY])
    assert written(journey_log) == [("olga", right, "one")]


@pytest.mark.parametrize(("absent", "others"), [("skip", []), ("model", [("Mara", PLAYED, True)])])
def test_round_is_played_at_its_deadline_without_missing_players(
    at_table: Served, model: FakeModel, absent: str, others: list[Any]
) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara", round_seconds=1, absent=absent)
    with mara.follows(table) as stream:
        assert owner.acts(table, "one").json()["until"] is not None
        start = played(stream)
    assert deeds(start) == [("Olga", "one", False), *others]
    assert ("is away: decide what they do" in str(model.calls)) is bool(others)


def test_absent_player_is_not_waited_for_and_returns_with_a_deed(at_table: Served) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with owner.follows(table) as stream:
        assert mara.call("POST", f"/{table}/away").json()["away"] == ["Mara"]
        owner.acts(table, "one")
        assert deeds(played(stream)) == [("Olga", "one", False)]
        assert mara.acts(table, "two").json()["away"] == []
        assert mara.call("GET", f"/{table}/round").json()["waiting"] == ["Olga"]
        gone = owner.call("POST", f"/{table}/away", {"away": True})
        assert gone.status == 200
        assert deeds(played(stream)) == [("Mara", "two", False)]
    refused(mara.call("POST", f"/{table}/away", {"user_id": "olga"}), 403, "forbidden")
    refused(owner.call("POST", f"/{table}/away", {"user_id": "x"}), 404, "not_found")
    back = owner.call("POST", f"/{table}/away", {"user_id": "mara", "away": False}).json()
    assert back["away"] == ["Olga"]
    said = [row["content"] for row in owner.messages(table)]
    assert [words for words in said if "away" in words] == ["Mara is away.", "Olga is away."]


@pytest.mark.parametrize("goes", ["leaves", "is removed", "is the dungeon master", "while paused"])
def test_round_is_played_at_once_when_the_last_who_has_not_acted_plays_no_more(
    at_table: Served, monkeypatch: pytest.MonkeyPatch, goes: str
) -> None:
    monkeypatch.setattr("app.tables.rounds.LOOK_SECONDS", 1_000)
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with owner.follows(table) as stream:
        owner.acts(table, "one")
        match goes:
            case "leaves":
                mara.call("POST", f"/{table}/leave")
            case "is removed":
                owner.call("DELETE", f"/{table}/members/mara")
            case "is the dungeon master":
                mara.joins(table, owner.invites(table, role="dm"))
            case _:
                owner.call("POST", f"/{table}/pause")
                mara.call("POST", f"/{table}/leave")
                owner.call("POST", f"/{table}/resume")
        assert deeds(played(stream)) == [("Olga", "one", False)]


def test_round_neither_waits_for_those_who_leave_nor_plays_them(at_table: Served) -> None:
    table, (owner, mara, joss) = in_rounds(at_table, "olga", "mara", "joss")
    with owner.follows(table) as stream:
        owner.acts(table, "one")
        mara.acts(table, "two")
        assert mara.call("POST", f"/{table}/leave").status == 204
        seen = owner.call("GET", f"/{table}/round").json()
        assert (seen["acted"], seen["waiting"]) == (["Olga"], ["Joss"])
        assert owner.call("DELETE", f"/{table}/members/joss").status == 204
        assert deeds(played(stream)) == [("Olga", "one", False)]
        owner.acts(table, "alone")
        assert deeds(played(stream)) == [("Olga", "alone", False)]
    refused(joss.acts(table, "late"), 404, "not_found")


def test_a_later_deed_takes_the_place_of_the_earlier_one(at_table: Served) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with owner.follows(table) as stream:
        mara.acts(table, "one")
        rolled = mara.call("POST", f"/{table}/roll", {"result": 14, "dice": "1d20"})
        assert (rolled.status, rolled.json()["acted"]) == (202, ["Mara"])
        owner.acts(table, "two")
        start = played(stream)
    assert [(name, "14" in action) for name, action, _ in deeds(start)] == [
        ("Mara", True),
        ("Olga", False),
    ]


def test_moderator_can_force_a_round_on(at_table: Served) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    refused(owner.call("POST", f"/{table}/round/close"), 409, "nothing_to_play")
    refused(mara.call("POST", f"/{table}/round/close"), 403, "forbidden")
    mara.acts(table, "one")
    refused(mara.call("POST", f"/{table}/round/close"), 403, "forbidden")
    with mara.follows(table) as stream:
        assert owner.call("POST", f"/{table}/round/close").json()["round"] == 2
        assert deeds(played(stream)) == [("Mara", "one", False)]
        owner.call("PUT", f"/{table}", {"absent": "model"})
        assert owner.call("POST", f"/{table}/round/close").status == 202
        assert deeds(played(stream)) == [("Olga", PLAYED, True), ("Mara", PLAYED, True)]


def test_next_round_is_collected_while_one_is_played(at_table: Served, model: FakeModel) -> None:
    gate = threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=6))
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with owner.follows(table) as stream:
        for guest, action in ((owner, "one"), (mara, "two")):
            guest.acts(table, action)
        stream.until("token")
        for guest, action in ((owner, "three"), (mara, "four")):
            assert guest.acts(table, action).json()["round"] == 2
        gate.set()
        assert deeds(played(stream)) == [("Olga", "three", False), ("Mara", "four", False)]


def test_repeated_key_in_a_round_takes_its_deed_once(at_table: Served) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")

    def rolls() -> dict[str, Any]:
        reply = owner.call("POST", f"/{table}/roll", {"dice": "1d20"}, Idempotency_Key="k1")
        assert reply.status == 202
        shown = reply.json()
        assert isinstance(shown, dict)
        return shown

    assert rolls() == rolls()
    with owner.follows(table) as stream:
        assert mara.acts(table, "two", Idempotency_Key="k1").status == 202
        assert len(played(stream)["deeds"]) == 2
    at_table.wait_for(lambda: owner.call("GET", f"/{table}/round").json()["round"] == 2)
    assert (rolls()["round"], rolls()["acted"]) == (2, [])
    assert len([row for row in owner.messages(table) if "rolls" in row["content"]]) == 1


def test_sockets_act_in_rounds(at_table: Served) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with owner.socket(f"/ws/{table}") as one, mara.socket(f"/ws/{table}") as other:
        for socket, name in ((one, "Olga"), (other, "Mara")):
            hear_until(socket, "system")
            hear_until(socket, "system")
            socket.send(f'{{"sender": "{name}", "content": "{name} acts"}}')
        for socket in (one, other):
            heard: dict[str, Any] = {}
            while not {"token_usage", "stream_end"} <= heard.keys():  # they come in either order
                message = hear(socket)
                heard[message["type"]] = message
            assert heard["stream_end"]["full_content"] == STORY


def test_deeds_of_a_round_are_limited_and_paid_as_turns_are(at_table: Served) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara", requests_per_minute=2)
    assert [mara.acts(table).status for _ in range(3)] == [202, 202, 429]
    owner.call("PUT", f"/{table}", {"requests_per_minute": 0, "token_budget": 1})
    with mara.follows(table) as stream:
        owner.acts(table, "two")
        played(stream)
    refused(mara.acts(table, "more"), 429, "token_budget_exceeded")
    assert "more" not in [row["content"] for row in mara.messages(table)]


def test_round_is_played_where_whoever_acted_first_has_used_their_day_since(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    """A budget of a user is checked when they act, and is nobody else's."""
    model.default = script_of()
    service = serve(tokens_per_user_per_day=RESERVED + 500)
    table, (owner, mara) = in_rounds(service, "olga", "mara", requests_per_minute=2)
    other = owner.opens("The Elsewhere")
    with mara.follows(table) as stream:
        assert owner.acts(table, "one").status == 202
        assert owner.acts(other).status == 200
        refused(owner.acts(table, "more"), 429, "token_budget_exceeded")
        assert mara.acts(table, "two").status == 202  # what was refused took no place
        assert deeds(played(stream)) == [("Olga", "one", False), ("Mara", "two", False)]


def test_player_is_away_or_back_while_a_closed_round_waits_for_its_budget(
    at_table: Served,
) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with owner.follows(table) as stream:
        for guest in (owner, mara):
            assert guest.acts(table).status == 202
        played(stream)
    assert owner.acts(table).status == 202
    assert owner.call("PUT", f"/{table}", {"token_budget": 1}).status == 200
    refused(owner.call("POST", f"/{table}/round/close"), 429, "token_budget_exceeded")
    for away, names in ((True, ["Mara"]), (False, []), (True, ["Mara"])):
        shown = mara.call("POST", f"/{table}/away", {"away": away}).json()
        assert (shown["closed"], shown["away"]) == (True, names)
    with owner.follows(table) as stream:
        assert owner.call("PUT", f"/{table}", {"token_budget": 0}).status == 200
        owner.call("POST", f"/{table}/round/close")
        stream.until("metadata", round=2)
        stream.until("complete")
    assert owner.call("GET", f"/{table}/round").json()["away"] == ["Mara"]


def test_players_read_in_every_form_that_their_round_waits_for_its_budget_and_goes_on(
    at_table: Served, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    model.then(script_of(), Script(script_of().text, gate=gate, gate_after=6))
    monkeypatch.setattr("app.tables.rounds.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("app.tables.postponed.FIRST_PAUSE", 0.01)
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with (
        mara.follows(table) as stream,
        mara.socket(f"/ws/{table}") as older,
        mara.socket(f"/ws/campaign/player?session_id={table}") as campaign,
    ):
        campaign.send('{"type": "auth", "token": ""}')
        for guest in (owner, mara):
            guest.acts(table)
        played(stream)
        assert owner.acts(table).status == 202
        owner.call("PUT", f"/{table}", {"token_budget": 1})
        refused(owner.call("POST", f"/{table}/round/close"), 429, "token_budget_exceeded")
        told = [NO_BUDGET.format(number=2)]
        stream.until("message", content=told[0], message_type="system")
        owner.call("PUT", f"/{table}", {"token_budget": 0})
        told.append(GOES_ON.format(number=2))
        stream.until("message", content=told[1], message_type="system")
        gate.set()
        stream.until("complete")
        heard = [*hear_until(older, "stream_end"), *hear_until(older, "stream_end")]
        turns = [*hear_until(campaign, "turn_complete"), *hear_until(campaign, "turn_complete")]
    for forms in (
        stream.seen.of("message"),
        [one for one in heard if one["type"] == "system"],
        [one for one in turns if one.get("response_type") == "system"],
    ):
        assert [one["content"] for one in forms if "waits" in one["content"]] == told


def test_round_that_is_collected_is_played_when_there_are_no_rounds_any_more(
    at_table: Served,
) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    with mara.follows(table) as stream:
        assert owner.acts(table, "one").status == 202
        assert owner.call("PUT", f"/{table}", {"mode": "turns"}).status == 200
        assert mara.acts(table, "two").status == 200
        assert deeds(played(stream)) == [("Olga", "one", False)]
        stream.until("complete")
    assert mara.call("POST", f"/{table}/away").json()["round"] == 2  # there is no further one


def test_a_paused_round_waits_and_takes_no_deed(at_table: Served, model: FakeModel) -> None:
    table, (owner, mara) = in_rounds(at_table, "olga", "mara")
    owner.acts(table, "one")
    owner.call("POST", f"/{table}/pause")
    refused(mara.acts(table, "two"), 403, "forbidden")
    refused(owner.call("POST", f"/{table}/round/close"), 403, "forbidden")
    owner.call("POST", f"/{table}/resume")
    with owner.follows(table) as stream:
        mara.acts(table, "two")
        assert len(played(stream)["deeds"]) == 2
    assert len(model.calls) == 1


DOWN = Script(status=503)


def all_act(players: list[Guest], table: int) -> None:
    for guest in players:
        assert guest.acts(table, f"{guest.name}+acts").status == 202


@contextmanager
def under_way(
    service: Served, model: FakeModel, **script: Any
) -> Iterator[tuple[int, list[Guest], Live, threading.Event]]:
    """A round whose turn is told half, as the second player reads it; the event lets it go on."""
    gate = threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=6, **script))
    table, players = in_rounds(service, "olga", "mara")
    with players[1].follows(table) as stream:
        all_act(players, table)
        stream.until("token")
        yield table, players, stream, gate


def failed_round(
    service: Served, model: FakeModel, stream: Live, players: list[Guest], table: int
) -> dict[str, Any]:
    """A round that no model plays; as it is collected then."""
    model.then(DOWN)
    all_act(players, table)
    assert stream.until("error")["recoverable"] is True
    stream.until("message", message_type="system")
    return seen(players[0], table)


def seen(guest: Guest, table: int) -> dict[str, Any]:
    shown = guest.call("GET", f"/{table}/round").json()
    assert isinstance(shown, dict)
    return shown


BOTH = [("Olga", "olga acts", False), ("Mara", "mara acts", False)]


@pytest.mark.parametrize("how", ["act", "force", "deadline"])
def test_round_whose_turn_fails_keeps_its_deeds(
    serve: Callable[..., Served], model: FakeModel, how: str
) -> None:
    model.default, service = script_of(), serve(llm_max_retries=0)
    seconds = 2 if how == "deadline" else 0
    table, players = in_rounds(service, "olga", "mara", round_seconds=seconds)
    owner, mara = players
    with mara.follows(table) as stream:
        shown = failed_round(service, model, stream, players, table)
        assert (shown["round"], shown["acted"], shown["waiting"]) == (1, ["Olga", "Mara"], [])
        assert (shown["failed"], shown["closed"]) == (True, False)
        assert (shown["until"] is not None) == bool(seconds)
        (line,) = [one for one in stream.seen.events if "could not be played" in str(one)]
        assert (line["message_type"], "in 2 s" in line["content"]) == ("system", bool(seconds))
        calls = len(model.calls)
        if how == "act":
            assert mara.acts(table, "mara+runs").status == 202
        elif how == "force":
            assert owner.call("POST", f"/{table}/round/close").json()["round"] == 2
        start = played(stream)
    assert start["round"] == 1
    assert sorted(deeds(start)) == sorted(
        [BOTH[0], ("Mara", "mara runs", False)] if how == "act" else BOTH
    )
    said = [row["content"] for row in owner.messages(table) if row["message_type"] == "player"]
    assert said == ["olga acts", "mara acts", *(["mara runs"] if how == "act" else [])]
    service.wait_for(lambda: seen(owner, table)["round"] == 2)
    assert (seen(owner, table)["acted"], seen(owner, table)["failed"]) == ([], False)
    assert len(model.calls) == calls + 1


def test_round_that_nobody_commits_in_time_is_open_again_with_its_deeds(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    model.default, service = script_of(), serve(commit_timeout_seconds=1)
    table, (owner, mara) = in_rounds(service, "olga", "mara", commit="manual", round_seconds=1)
    with mara.follows(table) as stream:
        all_act([owner, mara], table)
        stream.until("cancelled")
        told = stream.until("message", message_type="system")["content"]
        assert told.startswith("Round 1 was not committed in time. Its actions are kept")
        shown = seen(owner, table)
        assert (shown["acted"], shown["until"], shown["failed"]) == (["Olga", "Mara"], None, True)
        assert owner.call("POST", f"/{table}/round/close").status == 202
        assert stream.until("metadata", phase="start")["round"] == 1
        stream.until("metadata", phase="awaiting_commit")
        service.wait_for(lambda: mara.call("POST", f"/{table}/commit").status == 202)
        stream.until("complete")
    starts = [event for event in stream.seen.events if event.get("phase") == "start"]
    assert [sorted(deeds(start)) for start in starts] == [sorted(BOTH), sorted(BOTH)]


def test_round_that_fails_in_every_way_is_not_played_by_itself_for_ever(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    model.default, service = DOWN, serve(llm_max_retries=0, breaker_failures=1_000)
    table, (owner, mara) = in_rounds(service, "olga", "mara", round_seconds=1)
    with mara.follows(table) as stream:
        all_act([owner, mara], table)
        for _ in range(3):  # at once, and at two deadlines
            stream.until("error")
        last = stream.until("message", message_type="system")["content"]
        assert last.endswith("when somebody acts, or when it is forced on.")
        shown = seen(owner, table)
        assert (shown["until"], shown["acted"], shown["failed"]) == (None, ["Olga", "Mara"], True)
        model.default = script_of()
        assert mara.acts(table, "mara+acts").status == 202
        assert sorted(deeds(played(stream))) == sorted(BOTH)
    assert len(model.calls) == 4


def test_deeds_of_a_failed_round_are_played_with_those_that_were_collected_meanwhile(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    model.default, service = script_of(), serve(llm_max_retries=0)
    with under_way(service, model, drop_after=8) as (table, (owner, _), stream, gate):
        assert owner.acts(table, "more").json()["round"] == 2
        gate.set()
        stream.until("error")
        start = played(stream)
    assert sorted(deeds(start)) == [BOTH[1], ("Olga", "olga acts\nmore", False)]
    assert start["round"] == 2


def test_round_that_is_forced_on_while_another_is_played_takes_deeds_and_is_played_behind_it(
    at_table: Served, model: FakeModel
) -> None:
    with under_way(at_table, model) as (table, (owner, _), stream, gate):
        refused(owner.call("POST", f"/{table}/round/close"), 409, "nothing_to_play")
        assert owner.acts(table, "three").status == 202
        forced = owner.call("POST", f"/{table}/round/close").json()
        assert (forced["round"], forced["closed"], forced["waiting"]) == (2, True, ["Mara"])
        assert owner.acts(table, "four").status == 202  # still in time
        gate.set()
        assert deeds(played(stream)) == [("Olga", "four", False)]
    assert len(model.calls) == 2


def test_turn_of_a_round_that_the_x_card_stops_is_not_played_again(
    at_table: Served, model: FakeModel
) -> None:
    with under_way(at_table, model) as (table, (owner, mara), stream, gate):
        assert mara.call("POST", f"/{table}/x_card").json() == {"stopped": True}
        gate.set()
        stream.until("cancelled")
    at_table.wait_for(lambda: seen(owner, table)["waiting"] == ["Olga", "Mara"])
    shown = seen(owner, table)
    assert (shown["round"], shown["acted"], shown["failed"]) == (2, [], False)


def test_round_played_again_counts_in_the_budget_of_its_table(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    """A turn whose answer was no good has used tokens; what the others may use is less by them."""
    model.default, service = script_of(), serve(llm_max_retries=0)
    table, (owner, mara) = in_rounds(service, "olga", "mara", token_budget=1_000_000)
    model.then(Script('{"narrative": "Hello, and g'))
    with mara.follows(table) as stream:
        all_act([owner, mara], table)
        assert stream.until("error")["error_type"] == "llm_response_error"
        used = owner.call("GET", f"/{table}/tokens").json()["used"]
        assert used > 0
        stream.until("message", message_type="system")
        assert owner.call("PUT", f"/{table}", {"token_budget": 1}).status == 200
        refused(owner.call("POST", f"/{table}/round/close"), 429, "token_budget_exceeded")
        assert owner.call("PUT", f"/{table}", {"token_budget": 1_000_000}).status == 200
        assert sorted(deeds(played(stream))) == sorted(BOTH)
    assert owner.call("GET", f"/{table}/tokens").json()["used"] > used


def test_round_that_was_closed_before_a_crash_is_played_once(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default = script_of()
    settings: dict[str, Any] = {
        "store_url": f"sqlite:///{tmp_path}/store.db",
        "openai_base_url": model.base_url,
        "journey_log_base_url": journey_log.url,
    }
    with Served(**settings) as served:
        table, (owner, _) = in_rounds(served, "olga", "mara")
        owner.acts(table, "one")

    async def close() -> None:
        store = SqliteTurnStore(tmp_path / "store.db", lambda: NOON)
        store.open()
        players = [Seat("olga", "Olga")]

        def closed(known: Round) -> Round:
            return known.close(players, "skip")

        await store.tables.change_round(table, closed, NOON)
        await store.aclose()

    asyncio.run(close())
    for _ in range(2):
        with Served(**settings) as served, Guest(served, "olga").follows(table) as stream:
            start = played(stream)
            assert deeds(start) == [("Olga", "one", False)]
            served.wait_for(
                lambda: Guest(served, "olga").call("GET", f"/{table}/round").json()["round"] == 2
            )
    assert len(model.calls) == 1
