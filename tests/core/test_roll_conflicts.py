"""What contradicts a roll: another result in the answer's own list, or in its words."""

from __future__ import annotations

import pytest
from app.core.dice import roll
from app.core.encoding import dump
from app.core.outcome import CombatIntent, Intents
from app.core.roll_conflicts import intent_conflicts, roll_conflicts
from app.core.table_outcome import TableOutcome, read_rolled_intents
from app.core.table_prompt import Deed, Occurrence, Roll

REPORTED = Roll(dice="1d20", result=14, modifier=3)
MADE = roll("2d20kh1+3", "seed")
ROLLED = Roll(dice="2d20kh1+3", result=MADE.total, reported=False, rolled=MADE.shown())
OTHER = 77  # on no die

AGREEING = [
    "You roll 14.",
    "You rolled a 14!",
    "A roll of 17, with all you have.",  # with the modifier
    "You roll 1d20+3, and it comes to 5.",
    "The barrel rolled 30 feet down the hill.",
    "She rolls 3 dice.",
    "The rolling hills of 1200.",
    "A natural leader of 7 men.",
    "The door opens.",
]
CONTRADICTING = [
    "You roll 5.",
    "You rolled a 5, and the blade slips.",
    "A roll of 5: the lock holds.",
    "a natural 20!",
    "Your roll is 20 against the guard.",
    "roll: 3",
    "You roll only a 2 and fall.",
]


def outcome(**fields: object) -> TableOutcome:
    return TableOutcome.model_validate({"narrative": "Fog.", "intents": {}, **fields})


@pytest.mark.parametrize("text", AGREEING)
def test_words_that_state_no_other_result_agree(text: str) -> None:
    assert roll_conflicts(outcome(narrative=text), [REPORTED]) == []


@pytest.mark.parametrize("text", CONTRADICTING)
def test_words_that_state_another_result_contradict(text: str) -> None:
    (prose,) = roll_conflicts(outcome(player_response=text), [REPORTED])
    assert prose.startswith("player_response: a roll of ")
    noted = Intents(combat_intent=CombatIntent(action="continue", combat_notes=text))
    (intents,) = intent_conflicts(outcome(intents=noted), [REPORTED])
    assert intents.startswith("intents: a roll of ")
    assert roll_conflicts(outcome(narrative=text, intents=noted), []) == []


def test_each_die_and_the_sum_without_modifier_may_be_stated() -> None:
    for number in (MADE.total, MADE.total - MADE.modifier, *(die.value for die in MADE.dice)):
        assert roll_conflicts(outcome(narrative=f"A roll of {number}."), [ROLLED]) == []
    assert roll_conflicts(outcome(narrative=f"A roll of {OTHER}."), [ROLLED])


@pytest.mark.parametrize(
    ("stated", "agrees"),
    [
        (None, True),
        ([], True),
        ("fourteen", True),  # states nothing
        ([14, 9], True),
        ([17, 9], True),  # with the modifier
        ([11, 9], False),
        ([9, 14], False),
        ([14], False),
        (14, False),
    ],
)
def test_results_are_stated_for_each_roll_in_its_order(stated: object, agrees: bool) -> None:
    deeds = tuple(
        Deed(user_id=name, player_name=name, action="rolls", roll=one)
        for name, one in (("a", REPORTED), ("b", None), ("c", Roll(result=9)))
    )
    rolls = Occurrence(occasion="round", player_name="", deeds=deeds).rolls
    found = intent_conflicts(outcome(roll_results=stated), rolls)
    assert (found == []) is agrees


def test_intents_that_were_asked_for_again_are_read_with_their_results() -> None:
    again = {"roll_results": [14], "intents": {"combat_intent": {"action": "end"}}}
    found = read_rolled_intents(f"<think>{{}}</think>{dump(again)}")
    assert found is not None
    assert found.roll_results == (14,)
    assert found.intents.combat_intent == CombatIntent(action="end")
    assert read_rolled_intents("Of course!") is None
