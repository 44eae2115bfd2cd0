"""The write plan: which calls, in which order, with which bodies and markers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from app.core.context import CharacterProgress, Combat, CombatView, Context, Place, Quest
from app.core.outcome import (
    CombatIntent,
    Currency,
    Enemy,
    Intents,
    PoiIntent,
    QuestDetails,
    QuestIntent,
    Rewards,
)
from app.core.policy import PolicyDecision
from app.core.results import Change
from app.core.writes import (
    PlannedWrite,
    WritePlan,
    dry_run_summary,
    first_marker,
    marker_time,
    place_to_create,
    plan_writes,
)
from hypothesis import given
from hypothesis import strategies as st
from scenes import COMBAT, DENIED, FAILED, GRANTED, NOW, PASSED, QUEST, seen

from fakes import journey_log as wire

OFFER = QuestIntent(
    action="offer",
    quest_title="The Bell",
    quest_summary="Ring it.",
    quest_details=QuestDetails(
        requirements=["Find it"],
        rewards=Rewards(
            items=["Clapper"], currency=[Currency(name="gold", amount=40)], experience=9
        ),
    ),
)
START = CombatIntent(
    action="start",
    enemies=[Enemy(name="Warden", description="Rust.", threat="high"), Enemy(name="Wolf")],
)
CREATE = PoiIntent(
    action="create", name="The Vault", description="It hums.", reference_tags=["vault", "hum"]
)
ALL = Intents(quest_intent=OFFER, combat_intent=START, poi_intent=CREATE)
MARKER = 1_800_000_000_123_456


def plan(
    intents: Intents = ALL,
    decision: PolicyDecision = GRANTED,
    context: Context | None = None,
    **fields: Any,
) -> WritePlan:
    defaults: dict[str, Any] = {
        "user_action": "I ring the bell.",
        "narrative": "It rings.",
        "known_place": False,
        "marker": MARKER,
        "turn_id": "turn-1",
    }
    given = {**defaults, **fields}
    return plan_writes(intents=intents, decision=decision, context=context or seen(), **given)


def steps(found: WritePlan) -> list[tuple[str, str, str]]:
    return [(write.subsystem, write.method, write.path) for write in found.writes]


NARRATIVE = ("narrative", "POST", "/narrative")


def only(subsystem: str, found: WritePlan) -> PlannedWrite | None:
    writes = [write for write in found.writes if write.subsystem == subsystem]
    assert len(writes) <= 1
    return writes[0] if writes else None


def body(subsystem: str, found: WritePlan) -> dict[str, Any]:
    write = only(subsystem, found)
    assert write is not None
    assert write.body is not None
    return write.body


# -- the order and the markers --------------------------------------------------------------------


def test_the_order_is_quest_combat_poi_narrative() -> None:
    assert steps(plan()) == [
        ("quest", "PUT", "/quest"),
        ("combat", "PUT", "/combat"),
        ("poi", "POST", "/pois"),
        NARRATIVE,
    ]


def test_markers_increase_strictly_from_the_first() -> None:
    markers = [write.marker for write in plan().writes]
    assert markers[0] == MARKER
    assert markers == sorted(set(markers))


def test_each_write_carries_its_own_marker_where_journey_log_keeps_it() -> None:
    found = plan()
    stamps = [marker_time(write.marker) for write in found.writes]
    assert stamps == [
        body("quest", found)["updated_at"],
        body("combat", found)["combat_state"]["started_at"],
        body("poi", found)["timestamp"],
        body("narrative", found)["timestamp"],
    ]


@given(st.integers(0, 4_000_000_000_000_000))
def test_marker_is_written_as_iso_8601_to_the_microsecond(marker: int) -> None:
    moment = datetime.fromisoformat(marker_time(marker))
    assert moment.utcoffset() is not None
    assert marker_time(marker).endswith("Z")
    seconds = round(moment.replace(microsecond=0).timestamp())
    assert seconds * 1_000_000 + moment.microsecond == marker


@given(
    st.floats(1e9, 4e9),
    st.integers(0, 4_000_000_000_000_000),
    st.integers(1_000_000_000_000_000, 4_000_000_000_000_000),
)
def test_the_first_marker_is_after_now_the_last_marker_and_all_that_is_shown(
    now: float, last: int, newest: int
) -> None:
    context = seen(turns=["2001-01-01T00:00:00Z", marker_time(newest)])
    marker = first_marker(now, CharacterProgress(marker=last), context)
    assert marker >= now * 1_000_000 - 1
    assert marker >= last + 1_000
    assert marker > newest


@pytest.mark.parametrize(
    "context",
    [
        seen(turns=["2099-01-01T00:00:00.000005Z"]),
        seen(places=[Place(name="x", created_at="2099-01-01T00:00:00.000005Z")]),
        seen(quest=Quest(updated_at="2099-01-01T00:00:00.000005Z")),
        seen(turns=["2099-01-01T00:00:00.000005"]),
        seen(turns=["2099-01-01T02:00:00.000005+02:00"]),
    ],
    ids=["turn", "place", "quest", "naive", "offset"],
)
def test_everything_the_context_shows_counts_as_newest(context: Context) -> None:
    marker = first_marker(NOW, CharacterProgress(), context)
    assert marker_time(marker) == "2099-01-01T00:00:00.000006Z"


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-13-01"])
def test_a_time_that_cannot_be_read_does_not_count(stamp: str) -> None:
    assert first_marker(NOW, CharacterProgress(), seen(turns=[stamp])) == round(NOW * 1_000_000)


# -- quest ----------------------------------------------------------------------------------------


def test_an_offer_becomes_a_quest_as_journey_log_wants_it() -> None:
    found = plan(Intents(quest_intent=OFFER))
    assert body("quest", found) == {
        "name": "The Bell",
        "description": "Ring it.",
        "requirements": ["Find it"],
        "rewards": {"items": ["Clapper"], "currency": {"gold": 40}, "experience": 9},
        "completion_state": "not_started",
        "updated_at": "2027-01-15T08:00:00.123456Z",
    }
    assert found.writes[0].action == "offered"


@pytest.mark.parametrize(
    ("action", "decision", "quest", "expected"),
    [
        ("offer", GRANTED, None, ("PUT", "offered")),
        ("offer", DENIED, None, None),
        ("offer", GRANTED, QUEST, None),
        ("complete", DENIED, QUEST, ("DELETE", "completed")),
        ("complete", GRANTED, None, None),
        ("abandon", DENIED, QUEST, ("DELETE", "abandoned")),
        ("abandon", GRANTED, None, None),
        ("advance", GRANTED, QUEST, None),
        ("none", GRANTED, QUEST, None),
        (None, GRANTED, QUEST, None),
    ],
)
def test_a_quest_is_written_only_where_it_applies(
    action: Any, decision: PolicyDecision, quest: Quest | None, expected: tuple[str, str] | None
) -> None:
    intent = OFFER.model_copy(update={"action": action})
    write = only("quest", plan(Intents(quest_intent=intent), decision, seen(quest=quest)))
    assert (write and (write.method, write.action)) == expected
    if write and write.method == "DELETE":
        assert (write.path, write.body) == ("/quest", None)


@pytest.mark.parametrize(
    ("quest", "expected"), [(QUEST, Change(action="advanced", success=True)), (None, Change())]
)
def test_an_advance_is_kept_by_us_and_succeeds(quest: Quest | None, expected: Change) -> None:
    found = plan(Intents(quest_intent=QuestIntent(action="advance")), context=seen(quest=quest))
    assert steps(found) == [NARRATIVE]
    assert found.summary.quest_change == expected


# -- combat ---------------------------------------------------------------------------------------


def test_a_combat_starts_with_healthy_enemies_and_turn_one() -> None:
    state = body("combat", plan(Intents(combat_intent=START)))["combat_state"]
    assert state["turn"] == 1
    assert state["started_at"] == marker_time(MARKER)
    assert [(enemy["name"], enemy["status"]) for enemy in state["enemies"]] == [
        ("Warden", "Healthy"),
        ("Wolf", "Healthy"),
    ]
    assert state["enemies"][0]["metadata"] == {"description": "Rust.", "threat": "high"}
    ids = {state["combat_id"], *(enemy["enemy_id"] for enemy in state["enemies"])}
    assert len(ids) == 3


def test_a_combat_goes_on_with_one_more_turn_and_nothing_else_changed() -> None:
    found = plan(
        Intents(combat_intent=CombatIntent(action="continue")), context=seen(combat=COMBAT)
    )
    assert body("combat", found) == {"combat_state": {**COMBAT.model_dump(), "turn": 5}}
    assert found.writes[0].action == "continued"


def test_the_end_of_a_combat_clears_it() -> None:
    found = plan(Intents(combat_intent=CombatIntent(action="end")), context=seen(combat=COMBAT))
    assert body("combat", found) == {"combat_state": None}
    assert found.writes[0].action == "ended"


@pytest.mark.parametrize(
    ("intent", "combat"),
    [
        (START, COMBAT),
        (CombatIntent(action="start"), None),
        (CombatIntent(action="start", enemies=[]), None),
        (CombatIntent(action="continue"), None),
        (CombatIntent(action="end"), None),
        (CombatIntent(action="none"), COMBAT),
        (CombatIntent(), COMBAT),
        (None, COMBAT),
    ],
)
def test_a_combat_is_written_only_where_it_applies(
    intent: CombatIntent | None, combat: Combat | None
) -> None:
    found = plan(Intents(combat_intent=intent), context=seen(combat=combat))
    assert steps(found) == [NARRATIVE]
    assert found.summary.combat_change == Change()


def test_a_combat_whose_enemies_are_all_dead_is_over() -> None:
    over = CombatView(active=False, state=COMBAT)
    context = seen().model_copy(update={"combat": over})
    assert only("combat", plan(Intents(combat_intent=START), context=context)) is not None


# -- place ----------------------------------------------------------------------------------------


def test_a_place_is_written_with_its_tags() -> None:
    found = plan(Intents(poi_intent=CREATE))
    assert body("poi", found) == {
        "name": "The Vault",
        "description": "It hums.",
        "timestamp": marker_time(MARKER),
        "tags": ["vault", "hum"],
    }
    assert found.writes[0].action == "create"
    assert found.poi_name == "the vault"


def test_a_place_that_was_not_granted_is_not_written() -> None:
    found = plan(Intents(poi_intent=CREATE), DENIED)
    assert steps(found) == [NARRATIVE]
    assert (found.summary.poi_change, found.poi_name) == (Change(), None)


def test_a_reference_is_no_write_and_succeeds() -> None:
    found = plan(Intents(poi_intent=PoiIntent(action="reference", name="x")), DENIED)
    assert steps(found) == [NARRATIVE]
    assert found.summary.poi_change == Change(action="reference", success=True)


@pytest.mark.parametrize(
    ("known", "shown"),
    [(True, []), (False, [Place(name="the vault ")]), (False, [Place(name="THE VAULT")])],
    ids=["written before", "in the context", "in other letters"],
)
def test_no_place_is_written_twice(known: bool, shown: list[Place]) -> None:
    found = plan(Intents(poi_intent=CREATE), context=seen(places=shown), known_place=known)
    assert steps(found) == [NARRATIVE]
    assert found.summary.poi_change.action == "skipped"
    assert found.poi_name is None


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        (PoiIntent(action="create", name=" Der GROẞE Turm "), "der grosse turm"),
        (PoiIntent(action="reference", name="x"), None),
        (PoiIntent(name="x"), None),
        (None, None),
    ],
)
def test_the_name_that_is_looked_up_is_case_folded(
    intent: PoiIntent | None, expected: str | None
) -> None:
    assert place_to_create(Intents(poi_intent=intent)) == expected


# -- narrative ------------------------------------------------------------------------------------


def test_the_narrative_is_always_written_character_for_character() -> None:
    narrative = " \n\U0001f525 \u2028 é "
    found = plan(Intents(), DENIED, narrative=narrative, user_action="go")
    assert steps(found) == [NARRATIVE]
    assert body("narrative", found) == {
        "user_action": "go",
        "ai_response": narrative,
        "timestamp": marker_time(MARKER),
    }


def test_an_action_is_cut_to_the_limit_of_journey_log() -> None:
    assert body("narrative", plan(user_action="é" * 9000))["user_action"] == "é" * 8000


# -- Dead -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "intents",
    [
        ALL,
        Intents(
            quest_intent=QuestIntent(action="complete"),
            combat_intent=CombatIntent(action="end"),
            poi_intent=PoiIntent(action="reference"),
        ),
        Intents(
            quest_intent=QuestIntent(action="advance"),
            combat_intent=CombatIntent(action="continue"),
        ),
    ],
)
def test_for_the_dead_only_the_narrative_is_written(intents: Intents) -> None:
    found = plan(intents, context=seen(status="Dead", quest=QUEST, combat=COMBAT))
    assert steps(found) == [NARRATIVE]
    summary = found.summary
    assert summary.quest_change == summary.combat_change == summary.poi_change == Change()


@pytest.mark.parametrize("status", ["Healthy", "Wounded"])
def test_the_living_and_the_wounded_have_all_writes(status: str) -> None:
    assert len(plan(context=seen(status=status)).writes) == 4


# -- the whole ------------------------------------------------------------------------------------


def test_the_same_turn_always_plans_the_same_bytes() -> None:
    assert plan().model_dump_json() == plan().model_dump_json()
    other = body("combat", plan(turn_id="turn-2"))["combat_state"]["combat_id"]
    assert other != body("combat", plan())["combat_state"]["combat_id"]


def test_a_plan_survives_the_journal() -> None:
    assert WritePlan.model_validate_json(plan().model_dump_json()) == plan()


MODELS: dict[str, Any] = {
    "quest": wire.Quest,
    "combat": wire.PutCombat,
    "poi": wire.CreatePoi,
    "narrative": wire.AppendTurn,
}


def test_every_body_is_one_that_journey_log_takes() -> None:
    for write in plan().writes:
        assert MODELS[write.subsystem].model_validate(write.body)


def test_dry_run_lists_each_change_without_a_result() -> None:
    summary = dry_run_summary(plan())
    assert summary.model_dump() == {
        "quest_change": {"action": "offered", "success": None, "error": None},
        "combat_change": {"action": "started", "success": None, "error": None},
        "poi_change": {"action": "create", "success": None, "error": None},
        "narrative_persisted": False,
        "narrative_error": None,
        "dry_run": True,
    }


def test_dry_run_lists_kept_and_skipped_writes_without_a_result() -> None:
    intents = Intents(quest_intent=QuestIntent(action="advance"), poi_intent=CREATE)
    summary = dry_run_summary(plan(intents, context=seen(quest=QUEST), known_place=True))
    assert summary.quest_change == Change(action="advanced")
    assert summary.poi_change == Change(action="skipped")
    assert summary.combat_change == Change(action="none")


def test_a_roll_that_failed_writes_neither_quest_nor_place() -> None:
    decision = PolicyDecision(FAILED, PASSED)
    assert [row[0] for row in steps(plan(decision=decision))] == ["combat", "poi", "narrative"]
