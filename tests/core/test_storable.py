"""What journey-log's database cannot store is mended before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from app.core.context import Combat, Combatant
from app.core.outcome import CombatIntent, Currency, Intents, QuestDetails, QuestIntent, Rewards
from app.core.storable import MAX_COMBAT_BYTES, MAX_QUEST_BYTES, amounts, storable, stored_size
from app.core.writes import plan_writes
from app.standins.journey_log.documents import check_document, check_size
from app.standins.journey_log.schema import PutCombat
from app.standins.journey_log.schema import Quest as QuestOnTheWire
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import COMBAT, GRANTED, seen

Json = dict[str, Any]
LIMIT = 2_000
MARKER = 1_800_000_000_123_456

RISKY_KEYS = ["", " ", "__a__", "____", "__", "a", "unnamed", " __a__ ", "_", "__a__b__", "\n\n"]
KEYS = st.one_of(
    st.sampled_from(RISKY_KEYS), st.text(max_size=8), st.just("k" * 1_500), st.just("é" * 1_500)
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 10**400]),
    st.floats(),
    st.text(max_size=60),
    st.just("x" * 10_000),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=40,
)
BODIES = st.dictionaries(KEYS, VALUES, max_size=6)


@given(BODIES)
def test_every_body_becomes_one_that_the_database_stores(body: Json) -> None:
    mended = storable(body, 2**40)
    check_document(mended)
    json.dumps(mended, allow_nan=False)
    assert storable(mended, 2**40) == mended
    assert len(mended) == len(body)


@given(BODIES)
def test_a_body_that_can_be_stored_is_left_as_it_is(body: Json) -> None:
    mended = storable(body, 2**40)
    try:
        check_document(body)
        json.dumps(body, allow_nan=False)
    except Exception:
        assert mended != body
    else:
        assert mended == body or any(not key.strip() for key in keys_of(body))


def keys_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in keys_of(inner))]
    return [key for inner in value for key in keys_of(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"__gold__": 1}, {"gold": 1}),
        ({"__gold__": 1, "gold": 2}, {"gold (2)": 1, "gold": 2}),
        ({"____": 1, "": 2, " ": 3}, {"unnamed": 1, "unnamed (2)": 2, "unnamed (3)": 3}),
        ({"__ __a__ __": 1}, {"a": 1}),
        ({"__a": 1, "a__": 2, "___": 3}, {"__a": 1, "a__": 2, "___": 3}),
        ({"k" * 1_600: 1}, {"k" * 1_500: 1}),
        ({"n": 2**63, "m": [-(2**70)]}, {"n": 2**63 - 1, "m": [-(2**63)]}),
        ({"heat": float("inf"), "cold": float("nan")}, {"heat": None, "cold": None}),
        ({"map": [[1, [2]], 3]}, {"map": [{"values": [1, {"values": [2]}]}, 3]}),
        ({"true": True, "false": False}, {"true": True, "false": False}),
    ],
)
def test_each_thing_is_mended_to_the_nearest_that_can_be_stored(sent: Json, stored: Json) -> None:
    assert storable(sent, LIMIT * 10) == stored


def test_values_nested_too_deep_are_left_out() -> None:
    deep: Any = "bottom"
    for _ in range(40):
        deep = {"in": deep}
    check_document(storable({"deep": deep}, LIMIT))


@pytest.mark.parametrize(
    "body",
    [
        {"text": "x" * 2**21},
        {"rows": ["x" * 100] * 20_000},
        {"map": {f"key {n}": n for n in range(50_000)}},
        {"tree": [{"a": [{"b": ["x" * 99] * 99}] * 99}] * 9},
        {"é" * 1_500: "é" * 10**6},
    ],
)
def test_a_body_that_is_too_large_is_cut_until_it_fits(body: Json) -> None:
    mended = storable(body, 16 * 1024)
    assert 0 < stored_size(mended) <= 16 * 1024
    assert storable(mended, 16 * 1024) == mended


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([("gold", 5), ("silver", 1)], {"gold": 5, "silver": 1}),
        ([("gold", 5), (" gold ", 7)], {"gold": 12}),
        ([("__gold__", 5), ("gold", 7)], {"gold": 12}),
        ([("a" * 200 + "b", 1), ("a" * 200 + "c", 2)], {"a" * 200: 3}),
        ([("", 1), ("  ", 2), ("____", 3)], {"unnamed": 6}),
        ([("gold", 2**63 - 1), ("gold", 2**63)], {"gold": 2**63 - 1}),
        ([("gold", -5), ("gold", 3)], {"gold": 3}),
    ],
)
def test_amounts_of_currencies_with_one_name_are_added_up(
    rows: list[tuple[str, int]], merged: dict[str, int]
) -> None:
    assert amounts(rows, 200) == merged


# -- in the plan ----------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "Ring it.", "é" * 3_000])
few = settings(max_examples=40)


def bodies(intents: Intents, combat: Combat | None = None) -> list[Json]:
    """Of the quest and the combat that the plan writes."""
    context = seen(combat=combat)
    found = plan_writes(
        user_action="go",
        narrative="It rings.",
        intents=intents,
        decision=GRANTED,
        context=context,
        known_place=False,
        marker=MARKER,
        turn_id="t",
    )
    return [write.body or {} for write in found.writes if write.subsystem in ("quest", "combat")]


@few
@given(
    st.lists(st.tuples(KEYS, st.integers())),
    st.none() | st.integers(),
    TEXTS,
)
def test_every_planned_quest_can_be_stored(
    currency: list[tuple[str, int]], experience: int | None, text: str
) -> None:
    rows = [Currency(name=name, amount=amount) for name, amount in currency]
    rewards = Rewards(items=[text] * 50, currency=rows, experience=experience)
    details = QuestDetails(requirements=[text] * 20, rewards=rewards)
    intent = QuestIntent(
        action="offer",
        quest_title="The Bell",
        quest_summary=f"{text:.1999}.",
        quest_details=details,
    )
    (body,) = bodies(Intents(quest_intent=intent))
    check_document(QuestOnTheWire.model_validate(body).stored())
    assert stored_size(body) <= MAX_QUEST_BYTES


@few
@given(BODIES, BODIES, st.integers(min_value=1), TEXTS)
def test_every_combat_that_goes_on_can_be_stored(
    conditions: Json, metadata: Json, turn: int, text: str
) -> None:
    enemy = Combatant(enemy_id="e", name="Wolf", weapon=text, traits=[text] * 40, metadata=metadata)
    combat = COMBAT.model_copy(
        update={
            "enemies": [enemy] * 5,
            "player_conditions": conditions,
            "turn": turn,
            "started_at": text,
        }
    )
    (body,) = bodies(Intents(combat_intent=CombatIntent(action="continue")), combat)
    state = PutCombat.model_validate(body).combat_state
    assert state is not None
    check_document(state.document())
    assert stored_size(body) <= MAX_COMBAT_BYTES
    assert (state.combat_id, [one.enemy_id for one in state.enemies]) == (
        combat.combat_id,
        ["e"] * 5,
    )
    assert state.turn == min(turn + 1, 2**63 - 1)


def test_a_document_with_51_of_the_largest_quests_and_a_combat_fits() -> None:
    check_size(51 * MAX_QUEST_BYTES + MAX_COMBAT_BYTES)
