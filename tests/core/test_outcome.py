"""What counts as an outcome, and the schema that models are asked to fill."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from app.core.outcome import (
    CombatIntent,
    Enemy,
    Intents,
    InvalidOutcome,
    LocationIntent,
    MetaIntent,
    PoiIntent,
    QuestIntent,
    Rewards,
    parse_intents,
    parse_outcome,
)
from app.core.outcome_schema import OPTIONAL_OUTCOME_SCHEMA, OUTCOME_JSON_SCHEMA
from app.core.prompt import INSTRUCTIONS, OUTCOME_SCHEMA
from app.core.text import has_visible
from documents import outcomes
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fakes.model import COMBAT_START, META, POI_CREATE, QUEST_OFFER, outcome_text
from fitting import fits, objects

Json = dict[str, Any]


def with_intents(**intents: Any) -> Intents:
    return parse_outcome(json.dumps({"narrative": "x", "intents": intents})).intents


def raw(intents: str) -> str:
    return f'{{"narrative": "x", "intents": {intents}}}'


def test_a_full_outcome_is_read_field_by_field() -> None:
    outcome = parse_outcome(
        outcome_text("A door.", quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE, meta=META)
    )
    quest, combat, poi = (
        outcome.intents.quest_intent,
        outcome.intents.combat_intent,
        outcome.intents.poi_intent,
    )
    assert outcome.narrative == "A door."
    assert quest
    assert combat
    assert poi
    assert combat.enemies
    assert quest.quest_details
    assert (quest.action, quest.quest_title) == ("offer", "The Ninth Bell")
    assert quest.quest_details.requirements == ["Find the bell"]
    assert quest.quest_details.rewards.model_dump() == {
        "items": ["Clapper"],
        "currency": [{"name": "gold", "amount": 40}],
        "experience": 9,
    }
    assert combat.enemies[0].model_dump() == COMBAT_START["enemies"][0]
    assert poi.model_dump() == POI_CREATE
    assert outcome.intents.meta
    assert outcome.intents.meta.model_dump() == META


@pytest.mark.parametrize("name", list(Intents.model_fields))
def test_every_intent_may_be_null_or_missing_or_empty(name: str) -> None:
    assert getattr(with_intents(**{name: None}), name) is None
    assert getattr(with_intents(), name) is None
    empty = getattr(with_intents(**{name: {}}), name)
    assert set(empty.model_dump().values()) == {None}


PARTS: dict[str, type[BaseModel]] = {
    "quest_intent": QuestIntent,
    "combat_intent": CombatIntent,
    "poi_intent": PoiIntent,
    "location_intent": LocationIntent,
    "meta": MetaIntent,
}
FIELDS = [(name, field) for name, part in PARTS.items() for field in part.model_fields]


@pytest.mark.parametrize(("intent", "field"), FIELDS)
def test_every_field_of_an_intent_may_be_null(intent: str, field: str) -> None:
    assert getattr(getattr(with_intents(**{intent: {field: None}}), intent), field) is None


ACTIONS = {
    "quest_intent": ["none", "offer", "start", "advance", "complete", "abandon"],
    "combat_intent": ["none", "start", "continue", "end"],
    "poi_intent": ["none", "create", "reference"],
    "location_intent": ["none", "update_minor", "leave_poi"],
}


@pytest.mark.parametrize(
    ("intent", "action"), [(intent, action) for intent, rows in ACTIONS.items() for action in rows]
)
def test_the_actions_of_the_contract_are_taken(intent: str, action: str) -> None:
    assert getattr(with_intents(**{intent: {"action": action}}), intent).action == action


SLIPS = {
    "OFFER": "offer",
    " Offer ": "offer",
    "offered": "offer",
    "starting": "start",
    "completed": "complete",
    "ABANDONED": "abandon",
    "advances": "advance",
    "Created": "create",
    "update-minor": "update_minor",
    "Leave POI": "leave_poi",
    "ended": "end",
    "None": "none",
}


@pytest.mark.parametrize("intent", list(ACTIONS))
@pytest.mark.parametrize("slip", list(SLIPS))
def test_another_spelling_of_a_known_action_is_that_action(intent: str, slip: str) -> None:
    action = getattr(with_intents(**{intent: {"action": slip}}), intent).action
    assert action == (SLIPS[slip] if SLIPS[slip] in ACTIONS[intent] else None)


@pytest.mark.parametrize("intent", list(ACTIONS))
@pytest.mark.parametrize("action", ["", "flee", "of", 1, True, {}, [], 3.5, None, "offer or start"])
def test_a_wrong_action_counts_as_absent(intent: str, action: object) -> None:
    assert getattr(with_intents(**{intent: {"action": action}}), intent).action is None


@pytest.mark.parametrize("hint", ["slow", "normal", "fast"])
def test_the_pacing_hints_of_the_contract_are_taken(hint: str) -> None:
    meta = with_intents(meta={"pacing_hint": hint}).meta
    assert meta
    assert meta.pacing_hint == hint


def test_a_wrong_pacing_hint_counts_as_absent() -> None:
    meta = with_intents(meta={"pacing_hint": "brisk"}).meta
    assert meta == MetaIntent()


@pytest.mark.parametrize(
    ("intents", "expected"),
    [
        ({"poi_intent": "create"}, {"poi_intent": PoiIntent(action="create")}),
        ({"quest_intent": "None"}, {}),
        ({"quest_intent": ""}, {}),
        ({"quest_intent": 5}, {}),
        ({"quest_intent": [{"action": "offer"}]}, {"quest_intent": QuestIntent(action="offer")}),
        ({"quest_intent": '{"action": "offer"}'}, {"quest_intent": QuestIntent(action="offer")}),
        ({"poi_intent": "{a place"}, {"poi_intent": PoiIntent()}),
        (
            {"combat_intent": {"enemies": '[{"name": "a wolf"}]'}},
            {"combat_intent": CombatIntent(enemies=[Enemy(name="a wolf")])},
        ),
        (
            {"combat_intent": {"enemies": ["a wolf", "a crow"]}},
            {"combat_intent": CombatIntent(enemies=[Enemy(name="a wolf"), Enemy(name="a crow")])},
        ),
        (
            {"combat_intent": {"enemies": "a wolf, a crow"}},
            {"combat_intent": CombatIntent(enemies=[Enemy(name="a wolf"), Enemy(name="a crow")])},
        ),
        (
            {"combat_intent": {"enemies": {"wolf": {"threat": 3}}}},
            {"combat_intent": CombatIntent(enemies=[Enemy(name="wolf", threat="3")])},
        ),
        (
            {"combat_intent": {"enemies": {"name": "wolf"}}},
            {"combat_intent": CombatIntent(enemies=[Enemy(name="wolf")])},
        ),
        (
            {"combat_intent": {"enemies": [{"name": "wolf", "threat": 3}, 7, None]}},
            {"combat_intent": CombatIntent(enemies=[Enemy(name="wolf", threat="3")])},
        ),
        ({"combat_intent": {"enemies": 5}}, {"combat_intent": CombatIntent(enemies=[])}),
        ({"combat_intent": {"enemies": True}}, {"combat_intent": CombatIntent(enemies=[])}),
        ({"combat_intent": {"start": True}}, {"combat_intent": CombatIntent()}),
        (
            {"combat_intent": {"start": ["wolf"], "action": "continue"}},
            {"combat_intent": CombatIntent(action="continue", enemies=[Enemy(name="wolf")])},
        ),
        ({"poi_intent": {"create": "none"}}, {"poi_intent": PoiIntent()}),
        ({"poi_intent": {"name": 5}}, {"poi_intent": PoiIntent(name="5")}),
        ({"poi_intent": {"name": "None"}}, {"poi_intent": PoiIntent()}),
        (
            {"poi_intent": {"reference_tags": "old, mill"}},
            {"poi_intent": PoiIntent(reference_tags=["old", "mill"])},
        ),
        (
            {"poi_intent": {"reference_tags": [1, "mill", None, {"name": "x"}]}},
            {"poi_intent": PoiIntent(reference_tags=["1", "mill", "x"])},
        ),
        ({"meta": {"user_is_wandering": "yes"}}, {"meta": MetaIntent(user_is_wandering=True)}),
        ({"meta": {"user_is_wandering": "maybe"}}, {"meta": MetaIntent()}),
        ({"meta": "curious"}, {"meta": MetaIntent(player_mood="curious")}),
        (
            {"quest_intent": {"quest_title": {"name": "The Bell"}, "progress_update": ["a", "b"]}},
            {"quest_intent": QuestIntent(quest_title="The Bell", progress_update="a, b")},
        ),
    ],
)
def test_a_slip_in_a_side_field_repairs_or_drops_that_field(intents: Json, expected: Json) -> None:
    assert with_intents(**intents) == Intents(**expected)


PIER = {"poi_intent": PoiIntent(action="create", name="The Pier")}
WOLF = {"combat_intent": CombatIntent(action="start", enemies=[Enemy(name="wolf")])}
QUEST = {"quest_intent": QuestIntent(action="offer", quest_title="The Bell")}
SHORT_FORMS: list[tuple[Json, Json]] = [
    ({"poi_intent": {"create": "The Pier", "name": ""}}, PIER),
    ({"poi_intent": {"create": "The Pier", "name": None, "action": None}}, PIER),
    ({"poi_intent": {"create": "The Pier", "action": "build"}}, PIER),
    ({"poi_intent": {"create": ["The Pier"]}}, PIER),
    ({"poi_intent": {"create": {"name": "The Pier"}}}, PIER),
    ({"poi_intent": {"create": '{"name": "The Pier"}'}}, PIER),
    ({"poi_intent": {"create": True, "name": "The Pier"}}, PIER),
    ({"poi_intent": [{"create": "The Pier"}, {"create": "The Mill"}]}, PIER),
    ({"poi_intent": {"create": "The Mill", "name": "The Pier"}}, PIER),
    (
        {"poi_intent": {"create": "The Pier", "action": "none"}},
        {"poi_intent": PoiIntent(action="none", name="The Pier")},
    ),
    (
        {"poi_intent": {"create": {"name": "The Pier", "description": "Black."}}},
        {"poi_intent": PoiIntent(action="create", name="The Pier", description="Black.")},
    ),
    (
        {"poi_intent": {"reference": "The Pier"}},
        {"poi_intent": PoiIntent(action="reference", name="The Pier")},
    ),
    ({"poi_intent": {"create": "no"}}, {"poi_intent": PoiIntent()}),
    ({"poi_intent": {"create": False, "name": "x"}}, {"poi_intent": PoiIntent(name="x")}),
    ({"combat_intent": {"start": [{"name": "wolf"}], "enemies": []}}, WOLF),
    ({"combat_intent": {"start": [{"name": "wolf"}], "enemies": None}}, WOLF),
    ({"combat_intent": {"start": [{"name": "wolf"}], "enemies": [{"name": "wolf"}]}}, WOLF),
    ({"combat_intent": {"start": True, "enemies": ["wolf"]}}, WOLF),
    ({"combat_intent": {"start": {"enemies": ["wolf"]}}}, WOLF),
    (
        {"combat_intent": {"start": {"wolf": {"threat": "high"}}}},
        {
            "combat_intent": CombatIntent(
                action="start", enemies=[Enemy(name="wolf", threat="high")]
            )
        },
    ),
    (
        {"combat_intent": {"start": ["wolf"], "enemies": ["crow"]}},
        {
            "combat_intent": CombatIntent(
                action="start", enemies=[Enemy(name="wolf"), Enemy(name="crow")]
            )
        },
    ),
    (
        {"combat_intent": {"continue": [{"name": "wolf", "threat": "down"}]}},
        {
            "combat_intent": CombatIntent(
                action="continue", enemies=[Enemy(name="wolf", threat="down")]
            )
        },
    ),
    (
        {"combat_intent": {"end": "It flees."}},
        {"combat_intent": CombatIntent(action="end", combat_notes="It flees.")},
    ),
    ({"combat_intent": {"end": True}}, {"combat_intent": CombatIntent(action="end")}),
    ({"quest_intent": {"offer": "The Bell", "quest_title": ""}}, QUEST),
    ({"quest_intent": {"offer": {"quest_title": "The Bell"}}}, QUEST),
    (
        {"quest_intent": {"start": "The Bell"}},
        {"quest_intent": QuestIntent(action="start", quest_title="The Bell")},
    ),
    (
        {"quest_intent": {"advance": "The bell is found."}},
        {"quest_intent": QuestIntent(action="advance", progress_update="The bell is found.")},
    ),
    ({"quest_intent": {"complete": True}}, {"quest_intent": QuestIntent(action="complete")}),
    (
        {"location_intent": {"update_minor": "the ferry"}},
        {"location_intent": LocationIntent(action="update_minor", minor_location="the ferry")},
    ),
    (
        {"location_intent": {"leave_poi": "The Pier"}},
        {"location_intent": LocationIntent(action="leave_poi")},
    ),
]


@pytest.mark.parametrize(("intents", "expected"), SHORT_FORMS)
def test_an_action_in_its_short_form_is_that_action_with_all_its_fields(
    intents: Json, expected: Json
) -> None:
    assert with_intents(**intents) == Intents(**expected)


@pytest.mark.parametrize("details", [None, {}, {"requirements": []}, {"rewards": {}}])
def test_details_of_a_quest_beside_an_empty_object_of_details_count(details: Any) -> None:
    fields = {"requirements": ["Find it"], "rewards": ["1,000 gold", "20 xp"], "offer": "x"}
    found = with_intents(quest_intent={**fields, "quest_details": details}).quest_intent
    assert found
    assert found.quest_details
    assert found.quest_details.model_dump() == {
        "requirements": ["Find it"],
        "rewards": {
            "items": [],
            "currency": [{"name": "gold", "amount": 1_000}],
            "experience": 20,
        },
    }


def test_a_short_form_of_any_depth_is_read() -> None:
    nested = "[" * 400 + '"wolf"' + "]" * 400
    assert parse_outcome(raw(f'{{"combat_intent": {{"start": {nested}}}}}'))


@pytest.mark.parametrize("intents", ["null", "[]", '"none"', '""', "[{}]"])
def test_intents_that_say_nothing_are_none(intents: str) -> None:
    assert parse_outcome(raw(intents)).intents == Intents()


@pytest.mark.parametrize(
    "intents",
    [
        json.dumps('{"meta": {"player_mood": "calm"}}'),
        json.dumps('[{"meta": {"player_mood": "calm"}}]'),
        '[{"meta": {"player_mood": "calm"}}, {"poi_intent": null}]',
        json.dumps(['{"meta": {"player_mood": "calm"}}']),
    ],
)
def test_intents_in_a_text_or_a_list_are_read(intents: str) -> None:
    assert parse_outcome(raw(intents)).intents.meta == MetaIntent(player_mood="calm")


def test_unknown_fields_are_ignored_at_every_level() -> None:
    outcome = parse_outcome(
        '{"narrative": "x", "a": [1], "intents": {"b": {}, "poi_intent": {"action": "none", "c": 1},'
        ' "quest_intent": {"quest_details": {"d": 1, "rewards": {"e": 2}}}}}'
    )
    assert outcome.intents.poi_intent == PoiIntent(action="none")
    assert outcome.intents.quest_intent
    assert outcome.intents.quest_intent.quest_details


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"intents": {}}', "narrative"),
        ('{"narrative": "x"}', "intents"),
        (raw("7"), "intents"),
        (raw('"a fight"'), "intents"),
        (raw("[1, 2]"), "intents"),
        ('{"narrative": "", "intents": {}}', "narrative"),
        ('{"narrative": null, "intents": {}}', "narrative"),
        ('{"narrative": 5, "intents": {}}', "narrative"),
        ('{"narrative": ["x"], "intents": {}}', "narrative"),
        ('{"narrative": " \\n", "intents": {}}', "narrative"),
        ('{"narrative": "\\u200b\\u0000\\ufeff", "intents": {}}', "narrative"),
        ('{"narrative": "<think>only this</think>", "intents": {}}', "narrative"),
        ('{"narrative": "a</think>b", "intents": {}}', "narrative"),
    ],
)
def test_missing_and_mistyped_fields_are_named(text: str, field: str) -> None:
    with pytest.raises(InvalidOutcome, match=field) as caught:
        parse_outcome(text)
    assert caught.value.kind == "validation_error"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The torch gutters.",
        "{",
        '{"narrative": "x"',
        f'{{"narrative": "x", "intents": {{}}, "z": {"9" * 5000}}}',
        f'{{"narrative": "x", "intents": {{}}, "z": {"[" * 100_000}',
        f'{{"narrative": "x", "intents": {{}}, "z": {"[" * 100_000}{"]" * 100_000}}}',
        f'{{"narrative": "\\ud800", "intents": {{}}, "z": {"[" * 900}{"]" * 900}}}',
        '<think>{"narrative": "x", "intents": {}}',
        '{"narrative": "x", "intents": {"meta": {}',
        '{"narrative": "x", "intents": {"meta": {"player_mood": "ca',
        'So <think>{"narrative": "x", "intents": {}}',
        'plan {"narrative": "x", "intents": {}}</think>',
        'analysisWe plan {"narrative": "x", "intents": {}}',
    ],
    ids=lambda text: text[:30],
)
def test_unreadable_json_raises_invalid_outcome_only(text: str) -> None:
    with pytest.raises(InvalidOutcome) as caught:
        parse_outcome(text)
    assert caught.value.kind == "json_decode_error"


def test_error_never_repeats_text_of_the_model() -> None:
    with pytest.raises(InvalidOutcome) as caught:
        parse_outcome('{"narrative": {"SECRET": "SECRET"}, "intents": {"SECRET": SECRET}}')
    assert caught.value.details
    assert "SECRET" not in str(caught.value)


def test_deep_nesting_in_a_field_nobody_reads_is_no_fault() -> None:
    text = f'{{"narrative": "x", "intents": {{}}, "z": {"[" * 200}{"]" * 200}}}'
    assert parse_outcome(text).narrative == "x"


@pytest.mark.parametrize(
    "text",
    [
        '{"narrative": "a\\ud800b", "intents": {}}',
        '{"narrative": "a\\uDFFFb", "intents": {"\\ud800": 1}}',
        '{"narrative": "a\ud800b", "intents": {}}',
    ],
)
def test_lone_surrogates_become_replacement_characters(text: str) -> None:
    assert parse_outcome(text).narrative == "a\ufffdb"


@pytest.mark.parametrize("half", ["\\udfff", "\udfff"])
def test_lone_surrogates_never_reach_an_intent(half: str) -> None:
    outcome = parse_outcome(
        raw(f'{{"poi_intent": {{"name": "{half}", "reference_tags": ["{half}"]}}}}')
    )
    assert outcome.model_dump_json().encode()
    assert outcome.intents.poi_intent == PoiIntent(name="\ufffd", reference_tags=["\ufffd"])


def rewards(**fields: str) -> Rewards:
    text = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    outcome = parse_outcome(
        raw(f'{{"quest_intent": {{"quest_details": {{"rewards": {{{text}}}}}}}}}')
    )
    quest = outcome.intents.quest_intent
    assert quest
    assert quest.quest_details
    return quest.quest_details.rewards


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-1", "1e400", "1.5", "true", "1" * 40, '"9"']
)
def test_a_number_that_journey_log_could_not_keep_is_dropped(number: str) -> None:
    assert rewards(experience=number).experience is None
    assert rewards(currency=f'[{{"name": "gold", "amount": {number}}}]').currency == []


@pytest.mark.parametrize("number", ["0", "1", str(2**53)])
def test_a_whole_number_is_kept(number: str) -> None:
    assert rewards(experience=number).experience == int(number)


@pytest.mark.parametrize(
    ("currency", "expected"),
    [
        ('{"gold": 5}', [("gold", 5)]),
        ('[{"name": " gold ", "amount": 5}, {"name": " "}, 7, null]', [("gold", 5)]),
        ('"gold"', []),
        ("null", []),
    ],
)
def test_currency_is_read_in_both_of_its_forms(currency: str, expected: list[Any]) -> None:
    assert [(row.name, row.amount) for row in rewards(currency=currency).currency] == expected


@pytest.mark.parametrize("details", ["[]", '"a list"', '{"requirements": 5, "rewards": 7}', "7"])
def test_quest_details_of_another_shape_count_as_empty(details: str) -> None:
    quest = parse_outcome(raw(f'{{"quest_intent": {{"quest_details": {details}}}}}')).intents
    assert quest.quest_intent
    assert quest.quest_intent.quest_details
    assert quest.quest_intent.quest_details.model_dump() == {
        "requirements": [],
        "rewards": {"items": [], "currency": [], "experience": None},
    }


@given(
    st.one_of(st.text(), st.text(st.sampled_from('{}[]":,\\u019ntrfalse<think>/-.eE')), st.binary())
)
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    said = text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
    with suppress(InvalidOutcome):
        assert parse_outcome(said).narrative


@given(outcomes(), st.data())
def test_a_document_cut_off_anywhere_is_never_half_an_outcome(
    text: str, data: st.DataObject
) -> None:
    part = text[: data.draw(st.integers(0, len(text) - 1))]
    with suppress(InvalidOutcome):  # unless all that is read of it is there
        assert parse_outcome(part) == parse_outcome(text)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"poi_intent": {"action": ', "[" * 9999])
def test_intents_that_are_not_valid_yet_are_no_preview(text: str) -> None:
    assert parse_intents(text) is None


# -- the schema -----------------------------------------------------------------------------------


EVERYTHING = with_intents(
    quest_intent=QUEST_OFFER, combat_intent=COMBAT_START, poi_intent=POI_CREATE
)
BEGUN: dict[str, tuple[Json, Json]] = {
    "strict": (
        OUTCOME_JSON_SCHEMA,
        {
            "quest_intent": {**QUEST_OFFER, "progress_update": ""},
            "combat_intent": COMBAT_START,
            "poi_intent": POI_CREATE,
            "location_intent": None,
            "meta": None,
        },
    ),
    "optional": (
        OPTIONAL_OUTCOME_SCHEMA,
        {
            "quest_intent": {
                "offer": QUEST_OFFER["quest_title"],
                "quest_summary": QUEST_OFFER["quest_summary"],
                "requirements": QUEST_OFFER["quest_details"]["requirements"],
                "rewards": ["Clapper", "40 gold", "9 experience"],
            },
            "combat_intent": {
                "start": COMBAT_START["enemies"],
                "combat_notes": COMBAT_START["combat_notes"],
            },
            "poi_intent": {
                "create": POI_CREATE["name"],
                "description": POI_CREATE["description"],
                "reference_tags": POI_CREATE["reference_tags"],
            },
        },
    ),
}


@pytest.mark.parametrize("form", BEGUN)
def test_both_forms_of_the_schema_say_the_same(form: str) -> None:
    schema, intents = BEGUN[form]
    assert fits(schema, {"narrative": "x", "intents": intents})
    assert with_intents(**intents) == EVERYTHING


def test_fields_of_the_optional_form_are_required_only_for_an_outcome_and_a_move() -> None:
    assert OPTIONAL_OUTCOME_SCHEMA["required"] == ["narrative", "intents"]
    needed = {name for part in objects(OPTIONAL_OUTCOME_SCHEMA) for name in part["required"]}
    assert needed == {"narrative", "intents", "action", "name"}


@pytest.mark.parametrize("intents", [None, dict.fromkeys(Intents.model_fields)])
def test_both_forms_of_the_schema_take_a_quiet_turn(intents: Any) -> None:
    quiet = {"narrative": "Rain.", "intents": intents}
    assert fits(OUTCOME_JSON_SCHEMA, quiet)
    assert fits(OPTIONAL_OUTCOME_SCHEMA, quiet)
    assert fits(OPTIONAL_OUTCOME_SCHEMA, {**quiet, "intents": {}})


FORMS = pytest.mark.parametrize("schema", [OUTCOME_JSON_SCHEMA, OPTIONAL_OUTCOME_SCHEMA])


@FORMS
def test_the_narrative_is_first_in_the_schema(schema: Json) -> None:
    assert list(schema["properties"]) == ["narrative", "intents"]


def test_the_example_in_the_prompt_fits_the_schema_and_the_parser() -> None:
    example = json.loads(OUTCOME_SCHEMA.as_text().split("For example:\n")[1])
    assert fits(OPTIONAL_OUTCOME_SCHEMA, example)
    read = parse_outcome(json.dumps(example))
    assert read.narrative == example["narrative"]
    assert read.intents.poi_intent == PoiIntent(
        action="create",
        name="The Black Pier",
        description="A pier of black wood that no ferry has left for years.",
    )
    assert read.intents.location_intent == LocationIntent(**example["intents"]["location_intent"])


def test_the_text_of_the_schema_names_each_field_and_each_word() -> None:
    schema_text = OUTCOME_SCHEMA.as_text()
    for schema in objects(OPTIONAL_OUTCOME_SCHEMA):
        for name, part in schema["properties"].items():
            assert f'"{name}"' in schema_text
            assert all(f'"{word}"' in schema_text for word in part.get("enum", ()))
    assert schema_text not in INSTRUCTIONS


def generated(schema: Json) -> st.SearchStrategy[Any]:
    if "anyOf" in schema:
        return st.one_of([generated(choice) for choice in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    simple: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(min_size=1, max_size=5),
        "integer": st.integers(),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    if types == ["object"]:
        parts = {name: generated(part) for name, part in schema["properties"].items()}
        needed = {name: part for name, part in parts.items() if name in schema["required"]}
        rest = {name: part for name, part in parts.items() if name not in needed}
        return st.fixed_dictionaries(needed, optional=rest)
    if types == ["array"]:
        return st.lists(generated(schema["items"]), max_size=2)
    return st.one_of([simple[name] for name in types])


def visible(answer: Json) -> bool:
    return has_visible(answer["narrative"])


@FORMS
@given(st.data())
def test_every_document_of_the_schema_is_a_valid_outcome(schema: Json, data: st.DataObject) -> None:
    document = data.draw(generated(schema).filter(visible))
    assert fits(schema, document)
    assert parse_outcome(json.dumps(document)).narrative == document["narrative"]
