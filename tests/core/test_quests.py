"""Steps, rewards and enemies as our own record keeps them."""

from __future__ import annotations

import pytest
from app.core.context import Combatant, Context
from app.core.fight import after_exchange
from app.core.outcome import CombatIntent, Enemy, Intents
from app.core.quests import MAX_EARNED, QuestRewards, steps_done
from app.core.writes import plan_writes
from scenes import COMBAT, GRANTED, seen

STEPS = ["Find the silver key", "Open the flooded vault", "Bring the bell home"]


@pytest.mark.parametrize(
    ("notes", "done"),
    [
        ([], [False, False, False]),
        (["Find the silver key: it hung in the mill"], [True, False, False]),
        (["The flooded vault stands open"], [False, True, False]),
        (["A stranger talks at last"], [True, False, False]),
        (["One", "Two", "Three", "Four"], [True, True, False]),
        (["Bring the bell home: it rings"], [False, False, True]),
        (["find THE silver key", "Find the silver key again"], [True, False, False]),
    ],
)
def test_notes_fulfil_the_steps_that_they_name_and_else_the_first_open_one(
    notes: list[str], done: list[bool]
) -> None:
    assert steps_done(STEPS, notes) == done


def test_quest_without_requirements_has_no_steps() -> None:
    assert steps_done([], ["Something happened"]) == []


@pytest.mark.parametrize(
    "shown", [{"items": None, "currency": [1], "experience": "5"}, {}, {"items": [3, ""]}]
)
def test_rewards_of_another_shape_are_left_out(shown: dict[str, object]) -> None:
    assert QuestRewards.model_validate(shown) == QuestRewards()


def test_rewards_add_up_and_stay_bounded() -> None:
    one = QuestRewards(items=["a"] * 60, currency={"gold": 5}, experience=10)
    both = one.plus(QuestRewards(items=["b"] * 60, currency={"gold": 2, "salt": 1}))
    assert (both.currency, both.experience) == ({"gold": 7, "salt": 1}, 10)
    assert len(both.items) == MAX_EARNED
    assert both.items[-1] == "b"


@pytest.mark.parametrize(
    ("threat", "status"),
    [
        (None, "Healthy"),
        ("high", "Healthy"),
        ("low, wounded", "Wounded"),
        ("Down", "Dead"),
        ("none - defeated", "Dead"),
        ("not yet down", "Healthy"),
    ],
)
def test_enemy_gets_worse_as_its_threat_says(threat: str | None, status: str) -> None:
    goblin = Combatant(enemy_id="e", name="Goblin")
    assert after_exchange([goblin], [Enemy(name=" goblin ", threat=threat)])[0].status == status


def test_enemies_never_recover_and_unnamed_ones_stay_unchanged() -> None:
    foes = [Combatant(enemy_id=name, name=name, status="Dead") for name in ("a", "b")]
    assert after_exchange(foes, [Enemy(name="a", threat="wounded")]) == foes


def test_fight_is_over_once_every_enemy_is_down() -> None:
    down = [Enemy(name=COMBAT.enemies[0].name, threat="down")]
    context: Context = seen(combat=COMBAT)
    plan = plan_writes(
        user_action="I strike.",
        narrative="It falls.",
        intents=Intents(combat_intent=CombatIntent(action="continue", enemies=down)),
        decision=GRANTED,
        context=context,
        known_place=False,
        marker=1,
        turn_id="t",
    )
    assert plan.writes[0].body == {"combat_state": None}
