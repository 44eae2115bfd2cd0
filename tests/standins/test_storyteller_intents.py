"""What the player says matters: refusing, nonsense, fights that can be lost, magic, belongings."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from app.core.context import (
    CharacterProgress,
    Combat,
    CombatView,
    Context,
    Identity,
    Narrative,
    PastTurn,
    PlayerState,
    Quest,
)
from app.core.policy import PolicyDecision, Roll
from app.core.prompt import Scene
from app.core.table_prompt import Roll as TableRoll
from app.standins.storyteller import compose
from app.standins.storyteller.library import library
from app.standins.storyteller.text import sentences
from app.tables.deed_lines import roll_words

Json = dict[str, Any]
TEXTS = library()
HURT = TEXTS.phrases["combat.hurt"]
SCRIPT = TEXTS.worlds[0].quests[0]
TASKS = [stage.task for stage in SCRIPT.stages]
REFUSALS = ("I refuse", "No.", "no thanks", "I won't do it", "leave me alone", "I cannot accept")
NONSENSE = ("asdfgh", "qwe rty", "zxcv!!", "lorem ipsum", "blah", "xyzzy plugh", "hmm")


def a_scene(
    action: str,
    seed: int = 0,
    *,
    class_name: str = "Ranger",
    items: Sequence[str] = (),
    quest: bool = False,
    done: int = 0,
    fight: int = 0,
    history: Sequence[str] = (),
    offered: bool = True,
) -> Scene:
    """`done`: stages of the quest that are over; `fight`: its turn, or 0 for none."""
    foe = {"enemy_id": "e", "name": "Hollow Man"}
    state = {"combat_id": "c", "started_at": "", "turn": fight or 1, "enemies": [foe]}
    turns = [PastTurn(player_action="I go on", gm_response=text) for text in history]
    context = Context(
        character_id=f"character {seed}",
        player_state=PlayerState(
            identity=Identity(name="Kestrel", race="Half-Elf", class_name=class_name),
            inventory=[{"name": item} for item in items],
        ),
        quest=Quest(name=SCRIPT.title, requirements=TASKS) if quest else None,
        combat=CombatView(
            active=bool(fight), state=Combat.model_validate(state) if fight else None
        ),
        narrative=Narrative(recent_turns=turns),
    )
    granted = Roll(True, offered)
    progress = CharacterProgress(
        turns=9, since_quest=0 if quest and not done else 9, quest_progress=["done"] * done
    )
    return Scene(context, progress, PolicyDecision(granted, Roll(True, False)), (), action)


def play(scene: Scene, seed: object = 0) -> Json:
    return compose(scene, f"{seed}")


def act(document: Json, subsystem: str) -> str:
    action: str = document["intents"][f"{subsystem}_intent"]["action"]
    return action


@pytest.mark.parametrize("action", [*REFUSALS, "inventory", "help", "I flee", *NONSENSE])
def test_no_quest_is_offered_without_a_request(action: str) -> None:
    for seed in range(10):
        assert act(play(a_scene(action, seed)), "quest") == "none"


@pytest.mark.parametrize("action", REFUSALS)
def test_refusing_an_offered_quest_drops_it(action: str) -> None:
    assert act(play(a_scene(action, quest=True)), "quest") == "abandon"


@pytest.mark.parametrize("action", REFUSALS)
def test_refusing_never_advances_a_quest(action: str) -> None:
    for done in range(1, len(TASKS)):
        assert act(play(a_scene(action, quest=True, done=done)), "quest") == "none"


@pytest.mark.parametrize("action", [*NONSENSE, "I asdfgh", "inventory", "I surrender"])
def test_nonsense_and_idleness_never_complete_a_quest(action: str) -> None:
    for seed in range(10):
        scene = a_scene(action, seed, quest=True, done=len(TASKS) - 1)
        assert act(play(scene), "quest") == "none"


def test_a_clear_action_completes_the_same_quest() -> None:
    scene = a_scene("I walk home with Tam", quest=True, done=len(TASKS) - 1)
    assert act(play(scene), "quest") == "complete"


@pytest.mark.parametrize("action", NONSENSE)
def test_nonsense_is_not_quoted_back(action: str) -> None:
    assert action.casefold() not in play(a_scene(action))["narrative"].casefold()


def test_asking_a_person_is_answered_even_when_a_stage_is_due() -> None:
    document = play(a_scene("I ask Bram about the soup", quest=True, done=1))
    assert act(document, "quest") == "none"
    assert "Bram" in document["narrative"]


def test_asking_the_person_of_the_stage_advances_the_quest() -> None:
    document = play(a_scene("I ask Odile about Tam", quest=True, done=len(TASKS) - 1))
    assert act(document, "quest") == "complete"


@pytest.mark.parametrize(
    "action", ["I surrender", "mercy!", "I throw down my sword", "I yield", "I give up"]
)
def test_surrender_ends_a_fight_elsewhere_and_keeps_the_quest(action: str) -> None:
    document = play(a_scene(action, fight=1, quest=True))
    intents = document["intents"]
    assert intents["combat_intent"]["action"] == "end"
    assert intents["combat_intent"]["combat_notes"] == "You surrendered."
    assert intents["location_intent"]["action"] == "update_minor"
    assert intents["quest_intent"]["action"] == "none"


def test_a_vow_never_to_surrender_is_no_surrender() -> None:
    assert act(play(a_scene("I will never surrender!", fight=1)), "combat") == "continue"


@pytest.mark.parametrize("action", ["I wait", "asdfgh", "inventory", "I refuse"])
def test_character_without_a_defence_is_hurt_and_then_beaten(action: str) -> None:
    first = play(a_scene(action, fight=1))
    assert act(first, "combat") == "continue"
    assert any(line in first["narrative"] for line in HURT)
    last = play(a_scene(action, fight=2, history=[first["narrative"]], quest=True))
    assert last["intents"]["combat_intent"]["combat_notes"] == "You were beaten."
    assert last["intents"]["location_intent"]["minor_location"] in last["narrative"]
    assert act(last, "quest") == "none"


def test_a_fighter_wins_most_fights_and_loses_some_after_a_wound() -> None:
    def won(history: Sequence[str]) -> int:
        fights = [play(a_scene("I strike", fight=2, history=history), seed) for seed in range(60)]
        assert {act(fight, "combat") for fight in fights} == {"end"}
        notes = [fight["intents"]["combat_intent"]["combat_notes"] for fight in fights]
        return sum("is beaten" in note for note in notes)

    assert won(["You strike."]) == 60
    assert 20 < won([HURT[0]]) < 60


def test_a_wound_is_healed_by_rest_once() -> None:
    healed = TEXTS.phrases["scene.healed"]
    wounded = a_scene("I rest", history=[HURT[1]], offered=False)
    text = play(wounded)["narrative"]
    assert any(line in text for line in healed)
    again = play(a_scene("I rest", history=[HURT[1], text], offered=False))["narrative"]
    assert not any(line in again for line in healed)


def test_fleeing_ends_a_fight_even_when_hurt() -> None:
    document = play(a_scene("I run away", fight=2, history=[HURT[0], HURT[1]]))
    assert document["intents"]["combat_intent"]["combat_notes"] == "You got away."


def test_inventory_lists_the_items_of_the_character() -> None:
    scene = a_scene("inventory", items=["a rope", "{odd} lamp", "bread"])
    assert "a rope, odd lamp and bread" in play(scene)["narrative"]
    assert "long knife" in play(a_scene("What am I carrying?"))["narrative"]


@pytest.mark.parametrize("fight", [0, 1])
def test_magic_works_for_casters_only(fight: int) -> None:
    tables = (
        ("combat.answer_magic", "combat.answer_fizzle")
        if fight
        else ("scene.magic", "scene.fizzle")
    )
    for class_name, table in zip(("Wizard", "Thief"), tables, strict=True):
        scene = a_scene("I cast a spell", class_name=class_name, fight=fight, offered=False)
        pieces = [max(re.split(r"[\[\]{}|]", text), key=len) for text in TEXTS.phrases[table]]
        assert any(piece in play(scene)["narrative"] for piece in pieces)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("inventory", "inventory"),
        ("check my bag", "inventory"),
        ("what do I have?", "inventory"),
        ("I conjure a light", "magic"),
        ("I beg for mercy", "surrender"),
        ("I refuse to surrender", "refuse"),
        ("I tell her no", "refuse"),
        ("sure, why not", "accept"),
        ("yes, but I refuse", "refuse"),
        ("no problem, I'll do it", "accept"),
        ("north", "move"),
        ("asdfgh", "nonsense"),
        ("I hum a tune", "other"),
        ("Ich öffne die Tür", "other"),
        ("龍を倒す", "other"),
        ("🔥", "other"),
    ],
)
def test_intent_words_have_their_kind(action: str, kind: str) -> None:
    assert TEXTS.parser.parse(action).kind == kind


@pytest.mark.parametrize(
    ("action", "retold"),
    [
        ("I marry the dragon and we open the door", ""),
        ("I take our bags", ""),
        ("I was tired and I was cold", "You were tired and you were cold."),
        ("I go into the mine", "You go into the mine."),
        ("I say it is mine", ""),
        ("tell me about the bell", ""),
        ("give me the sword", ""),
        ("Look, a dragon!", ""),
        ("I ask him to follow me", "You ask him to follow you."),
    ],
)
def test_actions_that_have_no_second_person_are_quoted(action: str, retold: str) -> None:
    assert TEXTS.parser.parse(action).retold == retold


@pytest.mark.parametrize(
    ("dice", "modifier", "retold"),
    [
        ("1d20", 0, "You roll 1d20, and it comes to 17."),
        ("d20", 2, "You roll d20+2, and it comes to 17."),
        ("2d20kh1", -1, "You roll 2d20kh1-1, and it comes to 17."),
        ("the bones", 0, ""),
    ],
)
def test_a_roll_at_a_table_is_retold_as_a_roll(dice: str, modifier: int, retold: str) -> None:
    roll = TableRoll(roll_type="stealth", dice=dice, result=17, modifier=modifier)
    words = roll_words(roll, "I keep to the wall.")
    assert TEXTS.parser.parse(words).retold == retold


def test_no_sentence_and_no_long_phrase_comes_twice_in_a_turn() -> None:
    actions = ("I look around", "I go on", "I ask Odile", "I rest", "help", "asdfgh", "I strike")
    for seed in range(40):
        for action in actions:
            for scene in (
                a_scene(action, seed),
                a_scene(action, seed, quest=True, done=1),
                a_scene(action, seed, fight=seed % 3 + 1),
                a_scene(action, seed, offered=False),
            ):
                narrative = play(scene)["narrative"]
                said = sentences(narrative)
                assert len(said) == len(set(said)), narrative
                assert repeated(narrative, 9) == [], narrative


def repeated(text: str, length: int) -> list[str]:
    words = re.findall(r"[\w’'-]+", text.casefold())
    runs = [" ".join(words[at : at + length]) for at in range(len(words) - length + 1)]
    return [run for run in set(runs) if runs.count(run) > 1]
