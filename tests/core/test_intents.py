"""Normalisation: what is missing is filled, what is too long is cut, what was granted is added."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.context import CharacterProgress, Context, Location, Place
from app.core.intents import normalize
from app.core.outcome import (
    CombatIntent,
    Enemy,
    Intents,
    LocationIntent,
    PoiIntent,
    QuestDetails,
    QuestIntent,
)
from app.core.policy import PolicyDecision
from hypothesis import given
from hypothesis import strategies as st
from scenes import DENIED, GRANTED, PASSED, seen

from fakes.model import outcome_text

FERRY = Place(name="The Ferry Landing")


def quest(intent: QuestIntent | None, decision: PolicyDecision = GRANTED) -> QuestIntent | None:
    return normalize(
        Intents(quest_intent=intent), decision, seen(), CharacterProgress()
    ).quest_intent


def offered(intent: QuestIntent | None, decision: PolicyDecision = GRANTED) -> QuestIntent:
    found = quest(intent, decision)
    assert found is not None
    assert found.action == "offer"
    return found


def poi(
    intent: PoiIntent | None,
    decision: PolicyDecision = GRANTED,
    context: Context | None = None,
    progress: CharacterProgress | None = None,
) -> PoiIntent | None:
    intents = Intents(poi_intent=intent)
    return normalize(
        intents, decision, context or seen(), progress or CharacterProgress()
    ).poi_intent


def created(intent: PoiIntent | None, **where: Any) -> PoiIntent:
    found = poi(intent, **where)
    assert found is not None
    assert found.action == "create"
    return found


# -- quest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("intent", [None, QuestIntent(), QuestIntent(quest_title="Unsaid")])
def test_a_quest_that_was_granted_and_left_out_is_offered(intent: QuestIntent | None) -> None:
    assert offered(intent) == QuestIntent(
        action="offer",
        quest_title="A New Opportunity",
        quest_summary="A new quest opportunity has presented itself.",
        quest_details=QuestDetails(),
    )


def test_a_quest_that_was_not_granted_and_left_out_stays_out() -> None:
    assert quest(None, DENIED) is None


@pytest.mark.parametrize("action", ["none", "advance", "complete", "abandon"])
@pytest.mark.parametrize("decision", [GRANTED, DENIED])
def test_an_explicit_quest_action_is_kept(action: Any, decision: PolicyDecision) -> None:
    intent = QuestIntent(action=action, progress_update="On.")
    assert quest(intent, decision) == intent


@pytest.mark.parametrize("blank", [None, "", " \n "])
def test_blanks_of_an_offer_are_filled(blank: str | None) -> None:
    intent = offered(QuestIntent(action="offer", quest_title=blank, quest_summary=blank))
    assert intent.quest_title == "A New Opportunity"
    assert intent.quest_summary == "A new quest opportunity has presented itself."
    assert intent.quest_details == QuestDetails()


def test_details_of_an_offer_are_kept() -> None:
    said = {"quest_title": "The Bell", "quest_summary": "Ring it.", "progress_update": None}
    intent = QuestIntent(action="offer", **said, quest_details=QuestDetails(requirements=["Go"]))
    assert offered(intent, DENIED) == intent


def test_start_is_a_synonym_of_offer_also_without_details() -> None:
    assert offered(QuestIntent(action="start", quest_title="The Bell")).quest_title == "The Bell"


def test_the_place_that_policy_picked_is_worked_into_the_quest() -> None:
    details = offered(None, PolicyDecision(PASSED, PASSED, FERRY)).quest_details
    assert details is not None
    assert details.requirements == ["Return to The Ferry Landing"]


def test_a_quest_that_leads_there_already_is_left_alone() -> None:
    details = QuestDetails(requirements=["Wait at THE FERRY LANDING"])
    intent = QuestIntent(action="offer", quest_details=details)
    assert offered(intent, PolicyDecision(PASSED, PASSED, FERRY)).quest_details == details


def test_the_place_finds_room_in_a_long_quest() -> None:
    long = QuestDetails(requirements=[f"Step {n}" for n in range(50)])
    intent = QuestIntent(action="offer", quest_details=long)
    details = offered(intent, PolicyDecision(PASSED, PASSED, FERRY)).quest_details
    assert details is not None
    assert len(details.requirements) == 20
    assert details.requirements[-1] == "Return to The Ferry Landing"


# -- place ----------------------------------------------------------------------------------------

NEXUS = {"id": "origin:nexus", "display_name": "The Nexus"}


@pytest.mark.parametrize("intent", [None, PoiIntent(), PoiIntent(name="Unsaid")])
def test_a_place_that_was_granted_and_left_out_is_created(intent: PoiIntent | None) -> None:
    assert created(intent, context=seen(location=NEXUS)) == PoiIntent(
        action="create",
        name="The Nexus",
        description="An interesting location worth remembering.",
        reference_tags=[],
    )


def test_a_place_that_was_not_granted_and_left_out_stays_out() -> None:
    assert poi(None, DENIED) is None


@pytest.mark.parametrize("action", ["none", "reference"])
def test_an_explicit_place_action_is_kept(action: Any) -> None:
    intent = PoiIntent(action=action, name=None, reference_tags=["x"])
    assert poi(intent) == intent


@pytest.mark.parametrize(
    ("location", "moved", "expected"),
    [
        (NEXUS, None, "The Nexus"),
        ({"id": "origin:nexus"}, None, "origin:nexus"),
        ("the mill", None, "the mill"),
        (None, None, "A Notable Location"),
        ({"id": "", "display_name": "  "}, None, "A Notable Location"),
        (NEXUS, Location(id="mill", display_name="The Mill"), "The Mill"),
    ],
)
def test_a_nameless_place_is_called_after_where_the_character_is(
    location: Any, moved: Location | None, expected: str
) -> None:
    blank = PoiIntent(action="create", name=" ")
    where = {"context": seen(location=location), "progress": CharacterProgress(location=moved)}
    assert created(blank, **where).name == expected


def test_a_place_is_cut_to_the_limits_of_journey_log() -> None:
    tags = [f"tag {n} " + "t" * 60 for n in range(30)]
    intent = created(
        PoiIntent(action="create", name="é" * 300, description="d" * 3000, reference_tags=tags)
    )
    assert intent.name == "é" * 200
    assert intent.description == "d" * 2000
    assert intent.reference_tags == [tag[:50] for tag in tags[:20]]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [(None, []), ([], []), ([" ", ""], []), ([" a ", "a", "b"], ["a", "b"])],
)
def test_tags_are_trimmed_and_not_repeated(tags: list[str] | None, expected: list[str]) -> None:
    assert created(PoiIntent(action="create", reference_tags=tags)).reference_tags == expected


# -- combat and location --------------------------------------------------------------------------


def combat(intent: CombatIntent | None) -> CombatIntent | None:
    return normalize(
        Intents(combat_intent=intent), GRANTED, seen(), CharacterProgress()
    ).combat_intent


def test_at_most_five_enemies_are_kept_and_the_nameless_get_a_name() -> None:
    enemies = [Enemy(name=None), Enemy(name="  "), *(Enemy(name=f"Wolf {n}") for n in range(6))]
    intent = combat(CombatIntent(action="start", enemies=enemies))
    assert intent is not None
    assert [enemy.name for enemy in intent.enemies or []] == [
        "An unknown foe",
        "An unknown foe",
        "Wolf 0",
        "Wolf 1",
        "Wolf 2",
    ]


@pytest.mark.parametrize(
    "intent",
    [None, CombatIntent(), CombatIntent(action="start"), CombatIntent(action="end", enemies=[])],
)
def test_a_combat_without_enemies_is_left_alone(intent: CombatIntent | None) -> None:
    assert combat(intent) == intent


def test_location_fields_are_trimmed_and_cut_and_blank_ones_are_null() -> None:
    said = LocationIntent(
        action="update_minor",
        location_id=" ",
        location_display_name=" x ",
        minor_location="m" * 300,
    )
    intent = normalize(
        Intents(location_intent=said), DENIED, seen(), CharacterProgress()
    ).location_intent
    assert intent == LocationIntent(
        action="update_minor", location_display_name="x", minor_location="m" * 200
    )


def test_null_intents_never_raise() -> None:
    assert normalize(Intents(), DENIED, seen(), CharacterProgress()) == Intents()


texts = st.one_of(st.none(), st.text(max_size=5), st.just("x" * 5000))
anything = st.builds(
    Intents,
    quest_intent=st.none() | st.builds(QuestIntent, quest_title=texts, quest_summary=texts),
    combat_intent=st.none()
    | st.builds(CombatIntent, enemies=st.none() | st.lists(st.builds(Enemy, name=texts))),
    poi_intent=st.none()
    | st.builds(PoiIntent, name=texts, reference_tags=st.none() | st.lists(st.text(), max_size=30)),
    location_intent=st.none() | st.builds(LocationIntent, minor_location=texts),
)


@given(anything, st.sampled_from([GRANTED, DENIED, PolicyDecision(PASSED, PASSED, FERRY)]))
def test_normalising_twice_changes_nothing_more(intents: Intents, decision: PolicyDecision) -> None:
    once = normalize(intents, decision, seen(location=NEXUS), CharacterProgress())
    assert normalize(once, decision, seen(location=NEXUS), CharacterProgress()) == once


def test_the_example_of_the_fakes_is_not_changed_at_all() -> None:
    intents = Intents.model_validate_json(outcome_text().partition('"intents": ')[2][:-1])
    assert normalize(intents, DENIED, seen(), CharacterProgress()) == intents
