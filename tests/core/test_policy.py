"""What may happen is decided before the model is asked, and asking again changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.context import CharacterProgress, Place
from app.core.policy import PolicyConfig, PolicyDecision, PolicyEngine
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scenes import CHARACTER, NOW, QUEST, seen

ALWAYS = PolicyConfig(
    quest_trigger_prob=1,
    poi_trigger_prob=1,
    memory_spark_probability=1,
    quest_poi_reference_probability=1,
)
NEVER = PolicyConfig(
    quest_trigger_prob=0,
    poi_trigger_prob=0,
    memory_spark_probability=0,
    quest_poi_reference_probability=0,
)
HALF = PolicyConfig(quest_trigger_prob=0.5, poi_trigger_prob=0.5)
SPARKS = [Place(name=name) for name in ("Vault", "Ferry", "Mill")]


class Loaded(PolicyEngine):
    """Draws given numbers, and remembers the requests."""

    def __init__(self, value: float) -> None:
        super().__init__("seed")
        self.value = value
        self.asked: list[str] = []

    def _draw(self, character_id: str, turn_number: int, what: str) -> float:
        self.asked.append(what)
        return self.value


def decide(
    engine: PolicyEngine,
    config: PolicyConfig = ALWAYS,
    progress: CharacterProgress | None = None,
    sparks: list[Place] | None = None,
    now: float = NOW,
    **context: Any,
) -> PolicyDecision:
    return engine.decide(
        config, seen(**context), progress or CharacterProgress(), sparks or [], now
    )


def quest_eligible(**progress: Any) -> bool:
    return decide(PolicyEngine("x"), progress=CharacterProgress(**progress)).quest.eligible


def test_a_new_character_is_eligible_at_once() -> None:
    decision = decide(PolicyEngine("x"))
    assert (decision.quest.eligible, decision.poi.eligible) == (True, True)


def test_an_active_quest_forbids_another() -> None:
    assert not decide(PolicyEngine("x"), quest=QUEST).quest.eligible


WAIT = 5 * 60


@pytest.mark.parametrize(
    ("progress", "eligible"),
    [
        ({"quest_completed_at": NOW - WAIT}, True),
        ({"quest_completed_at": NOW - WAIT + 0.001}, False),
        ({"quest_offered_at": NOW - WAIT}, True),
        ({"quest_offered_at": NOW - WAIT + 0.001}, False),
        ({"quest_completed_at": NOW - 1, "quest_offered_at": NOW - 9999}, False),
        ({"quest_completed_at": NOW - 9999, "quest_offered_at": NOW - 1}, True),
        ({"quest_offered_at": NOW - WAIT, "since_quest": 0}, True),
        ({"quest_offered_at": NOW - 1, "since_quest": 99}, False),
        ({"since_quest": 5}, True),
        ({"since_quest": 4}, False),
        ({"since_quest": 0}, False),
    ],
)
def test_a_quest_waits_for_the_time_since_the_last_else_for_turns(
    progress: dict[str, Any], eligible: bool
) -> None:
    assert quest_eligible(**progress) is eligible


@pytest.mark.parametrize(("turns", "eligible"), [(None, True), (0, False), (2, False), (3, True)])
def test_a_place_waits_for_turns(turns: int | None, eligible: bool) -> None:
    decision = decide(PolicyEngine("x"), progress=CharacterProgress(since_poi=turns))
    assert decision.poi.eligible is eligible


def test_nothing_is_granted_to_the_dead() -> None:
    engine = Loaded(0.0)
    decision = decide(engine, status="Dead", sparks=SPARKS)
    assert not (decision.quest.eligible)
    assert not (decision.poi.eligible)
    assert not (decision.reference)
    assert engine.asked == []


def test_policy_does_not_roll_for_ineligible_changes() -> None:
    engine = Loaded(0.0)
    decision = decide(engine, progress=CharacterProgress(since_poi=0), quest=QUEST, sparks=SPARKS)
    assert engine.asked == []
    assert not (decision.quest.passed)
    assert not (decision.poi.passed)


@pytest.mark.parametrize(("drawn", "passed"), [(0.499, True), (0.5, False), (0.501, False)])
def test_a_roll_passes_below_the_probability_and_not_at_it(drawn: float, passed: bool) -> None:
    decision = decide(Loaded(drawn), HALF)
    assert (decision.quest.passed, decision.poi.passed) == (passed, passed)


@given(st.text(max_size=5), st.integers(0, 1000))
def test_probability_one_always_passes_and_zero_never(seed: str, turns: int) -> None:
    engine, progress = PolicyEngine(seed), CharacterProgress(turns=turns)
    always, never = decide(engine, ALWAYS, progress), decide(engine, NEVER, progress)
    assert always.quest.passed
    assert always.poi.passed
    assert not (never.quest.passed)
    assert not (never.poi.passed)
    assert engine.grants_spark(ALWAYS, CHARACTER, turns)
    assert not engine.grants_spark(NEVER, CHARACTER, turns)


@given(st.text(max_size=5), st.integers(0, 1000), st.floats(0, 4e9), st.integers(3, 99))
def test_rolls_depend_on_seed_character_and_turn_alone(
    seed: str, turns: int, now: float, since: int
) -> None:
    first = decide(PolicyEngine(seed), HALF, CharacterProgress(turns=turns))
    later = CharacterProgress(turns=turns, since_poi=since, marker=7, minor_location="x")
    again = decide(PolicyEngine(seed), HALF, later, SPARKS, now, location="Mill", turns=["x"])
    assert (again.quest, again.poi) == (first.quest, first.poi)


def passes(seed: str, character: str, turn: int) -> tuple[bool, bool, bool]:
    engine = PolicyEngine(seed)
    context = seen().model_copy(update={"character_id": character})
    decision = engine.decide(HALF, context, CharacterProgress(turns=turn), [], NOW)
    spark = PolicyConfig(memory_spark_probability=0.5)
    return decision.quest.passed, decision.poi.passed, engine.grants_spark(spark, character, turn)


@pytest.mark.parametrize(
    "runs",
    [
        [(f"seed {n}", CHARACTER, 3) for n in range(400)],
        [("seed", f"character {n}", 3) for n in range(400)],
        [("seed", CHARACTER, n) for n in range(400)],
    ],
    ids=["seeds", "characters", "turns"],
)
def test_rolls_differ_from_seed_to_seed_character_to_character_turn_to_turn(
    runs: list[tuple[str, str, int]],
) -> None:
    rolls = [passes(*run) for run in runs]
    for what in range(3):
        assert 140 < sum(roll[what] for roll in rolls) < 260
    agree = sum(quest == poi for quest, poi, _ in rolls)
    assert 140 < agree < 260, "quest and place share one roll"


def test_a_spark_is_granted_below_its_probability() -> None:
    config = PolicyConfig(memory_spark_probability=0.5)
    assert Loaded(0.49).grants_spark(config, CHARACTER, 1)
    assert not Loaded(0.5).grants_spark(config, CHARACTER, 1)


@pytest.mark.parametrize(
    ("drawn", "expected"), [(0.0, "Vault"), (0.34, "Ferry"), (0.67, "Mill"), (0.999999, "Mill")]
)
def test_a_passed_quest_refers_to_one_of_the_sparks(drawn: float, expected: str) -> None:
    reference = decide(Loaded(drawn), ALWAYS, sparks=SPARKS).reference
    assert reference is not None
    assert reference.name == expected


@pytest.mark.parametrize(
    ("config", "sparks"),
    [
        (ALWAYS.model_copy(update={"quest_poi_reference_probability": 0.0}), SPARKS),
        (ALWAYS.model_copy(update={"quest_trigger_prob": 0.0}), SPARKS),
        (ALWAYS, []),
    ],
    ids=["the roll fails", "no quest", "no sparks"],
)
def test_without_quest_spark_or_luck_there_is_no_reference(
    config: PolicyConfig, sparks: list[Place]
) -> None:
    assert decide(PolicyEngine("x"), config, sparks=sparks).reference is None


@pytest.mark.parametrize(
    "bad",
    [
        {"quest_trigger_prob": 1.1},
        {"poi_trigger_prob": -0.1},
        {"quest_cooldown_turns": -1},
        {"poi_cooldown_turns": 1.5},
        {"memory_spark_probability": "often"},
        {"quest_chance": 1},
    ],
)
def test_a_configuration_out_of_bounds_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicyConfig(**bad)


def test_the_defaults_are_those_of_the_contract() -> None:
    assert PolicyConfig().model_dump() == {
        "quest_trigger_prob": 0.3,
        "quest_cooldown_turns": 5,
        "poi_trigger_prob": 0.2,
        "poi_cooldown_turns": 3,
        "memory_spark_probability": 0.2,
        "quest_poi_reference_probability": 0.1,
    }
