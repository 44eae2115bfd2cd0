"""The storyteller's data files: what they must contain, and how mistakes in them are reported."""

import ast
import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
from app.core.context import (
    CharacterProgress,
    Combat,
    CombatView,
    Context,
    Identity,
    Location,
    Place,
    PlayerState,
    Quest,
)
from app.core.policy import PolicyDecision, Roll
from app.core.prompt import Scene
from app.standins.storyteller import compose
from app.standins.storyteller.library import DATA, DataError, library, load
from app.standins.storyteller.toml_lines import line_of

CROSSING = "worlds/1_crossing.toml"
ODILE = 'giver = "Odile Marsh"'
YARD = 'name = "the Lantern Yard"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "data")
    return tmp_path / "data"


def edit(path: Path, old: str, new: str, at: str) -> int:
    """Replace the first `old` by `new`; the line of `at` afterwards."""
    before = path.read_text("utf-8")
    assert old in before
    text = before.replace(old, new, 1)
    path.write_text(text, "utf-8")
    return text[: text.index(at)].count("\n") + 1


@pytest.mark.parametrize(
    ("file", "old", "new", "at", "message"),
    [
        (
            CROSSING,
            'name = "crossing"',
            'name = "crossing',
            'name = "crossing',
            "Illegal character",
        ),
        (CROSSING, "[[spots]]", "[[spots]", "[[spots]", "]]"),
        (CROSSING, YARD, "", "[[spots]]", "spots.0.name: the key is missing"),
        (CROSSING, YARD, f"{YARD}\nnmae = 1", "nmae", "spots.0.nmae: unknown key"),
        (CROSSING, YARD, "name = 7", "name = 7", "spots.0.name: Input should be a valid string"),
        (
            CROSSING,
            "gold = 40",
            'gold = "40"',
            "gold",
            "quests.0.gold: Input should be a valid int",
        ),
        (CROSSING, "gold = 40", "gold = -1", "gold", "quests.0.gold: Input should be greater than"),
        (CROSSING, "fight = true", "fight = 1", "fight = 1", "fight: Input should be a valid bool"),
        (CROSSING, 'tags = ["town", "house"]', 'tags = "town"', "tags", "a list is expected"),
        (CROSSING, 'tags = ["town", "house"]', "tags = []", "tags", "finds.0.tags: Tuple should"),
        (CROSSING, 'threat = "low"', 'threat = "huge"', "threat", "foes.0.threat: Input should be"),
        (
            CROSSING,
            "The gutters talk",
            "The {gutter} talks",
            '  "The {gutter}',
            "weather.4: unknown placeholder {gutter}",
        ),
        (
            CROSSING,
            "Evening settles on {here}",
            "Evening settles on {hear}",
            '  """\n  Evening',
            "vistas.1: unknown placeholder {hear}",
        ),
        (
            CROSSING,
            "Claws tick on the cobbles",
            "Claws tick on the {task}",
            '  """\n  Claws',
            "foes.0.arrivals.0: unknown placeholder {task}",
        ),
        (
            CROSSING,
            "Nine arches stand",
            "[Nine|Ten arches stand",
            '  "[Nine|Ten',
            "spots.2.lines.0: “[” belongs to no placeholder and no choice",
        ),
        (
            CROSSING,
            "The gutters talk in their sleep.",
            " ",
            '  " "',
            "weather.4: the text is empty",
        ),
        (CROSSING, ODILE, 'giver = "Odile"', 'giver = "Odile"', "nobody in this world is called"),
        (CROSSING, 'foe = "hollow man"', 'foe = "yeti"', "foe =", "no foe of this world"),
        (
            "worlds/2_wood.toml",
            'name = "wood"',
            'name = "Crossing"',
            'name = "Cr',
            "name: “Crossing” is already in",
        ),
        ("quests.toml", "experience = 100", "", "[[quests]]", "quests.0.experience: the key is"),
        (
            "traits.toml",
            'adjective = "Hollow"',
            "",
            "[[traits]]\n\ndescription",
            "traits.1.adjective",
        ),
        ("phrases/combat.toml", "stance = [", "stanse = [", "stanse", "stanse: unknown key"),
        ("phrases/combat.toml", "stance = [", "stanse = [", "#", "stance: the key is missing"),
        ("phrases/scene.toml", "{trifle}", "{treasure}", '  "There is more', "noticed.0: unknown"),
        ("actions.toml", "'\\bwhat now\\b'", "'(what now'", "  '(what now'", "not a regular"),
        ("actions.toml", "take = ", "steal = ", "steal = ", "verbs.steal"),
    ],
)
def test_mistake_is_reported_with_its_file_and_line(
    folder: Path, file: str, old: str, new: str, at: str, message: str
) -> None:
    line = edit(folder / file, old, new, at)
    with pytest.raises(DataError) as caught:
        load(folder)
    reports = str(caught.value).split("\n")
    place = f"{folder / file}:{line}: "
    assert [report for report in reports if report.startswith(place) and message in report], reports


def test_all_mistakes_of_a_file_are_reported_at_once(folder: Path) -> None:
    edit(folder / CROSSING, YARD, "", "")
    edit(folder / CROSSING, "gold = 40", "gold = -1", "")
    with pytest.raises(DataError) as caught:
        load(folder)
    assert len(str(caught.value).split("\n")) == 2


def test_duplicate_names_report_both_places(folder: Path) -> None:
    second = folder / "worlds/2_wood.toml"
    line = edit(
        second, '[[spots]]\nname = "', '[[spots]]\nname = "The Lantern Yard"\n#', "[[spots]]"
    )
    first = load_error(folder)
    assert f"{second}:{line + 1}: spots.0.name: “The Lantern Yard” is already in " in first
    assert f"{folder / CROSSING}:" in first


def load_error(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("list", 1), 5),
        (("text",), 8),
        (("texts", 1), 14),
        (("deep", "table", "key"), 21),
        (("rows", 0, "key"), 24),
        (("rows", 1, "inner", 0, "key"), 29),
        (("rows", 1, "missing"), 26),
        (("nothing", "here"), 1),
    ],
)
def test_a_path_has_the_line_on_which_it_begins(path: tuple[str | int, ...], line: int) -> None:
    document = '''# comment
a = 1
list = [
  1,  # comment
  2,
]

text = """
[not a header]
b = 2
"""
texts = [
  "one",
  """
  two
  lines""",
]
short = ["a", "b"]

[deep.table]
key = 1

[[rows]]
key = 1

[[rows]]

[[rows.inner]]
key = "]"
'''
    assert line_of(document, path) == line


def test_every_phrase_in_the_code_exists_and_every_table_is_used() -> None:
    phrases, code = library().phrases, DATA.parent
    used: set[str] = set()
    for module in code.glob("*.py"):
        used |= {
            node.value
            for node in ast.walk(ast.parse(module.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    assert {key for key in phrases if key not in used and ".answer_" not in key} == set()
    prefixes = tuple({f"{key.partition('.')[0]}." for key in phrases})
    assert {text for text in used if text.startswith(prefixes)} <= {*phrases, "combat.answer_"}


def test_loading_is_quick() -> None:
    load(DATA)
    began = time.process_time()
    load(DATA)
    assert time.process_time() - began < 2, "20 ms are usual"


STORIES = {
    "I look around": "68bbfa7ef342d7f6",
    "I attack the hollow man": "64725c4bb8cbf16b",
    "Yes, I will do it": "2653618ac52c9e2d",
    "No. I give up": "08a474afe3d2d7e5",
    "I go to the sunken market and talk": "c1fd204de7c18379",
    "What should I do?": "b105db6b158ca31a",
    "I run away": "f4fd7091eb54e3f2",
    "Ich öffne die Tür": "ebf73a32208384dd",
}


@pytest.mark.parametrize("action", STORIES)
def test_stories_stay_the_same(action: str) -> None:
    """A change that is not meant to change stories changes none."""
    stories = [compose(a_scene(action, number), "seed") for number in range(40)]
    digest = hashlib.sha256(json.dumps(stories, ensure_ascii=False).encode()).hexdigest()
    assert digest[:16] == STORIES[action]


def a_scene(action: str, number: int) -> Scene:
    """A scene of one of ten sorts: with a quest, in a fight, dead, at the beginning, …"""
    player = PlayerState(
        identity=Identity(name="Kestrel", race="Half-Elf", class_name="Ranger"),
        status="Dead" if number % 10 == 9 else "Wounded" if number % 10 == 8 else "Healthy",
        location=Location(id="origin:nexus", display_name="The Nexus"),
    )
    script = library().worlds[number % 5].quests[0]
    tasks = [stage.task for stage in script.stages]
    foes = [{"enemy_id": "e", "name": name} for name in ("Rat", "Tall Hollow Man")[: number % 3]]
    fight = {"combat_id": "c", "started_at": "", "turn": number % 4 + 1, "enemies": foes}
    context = Context(
        character_id=f"character {number}",
        player_state=player,
        quest=Quest(name=script.title, requirements=tasks) if number % 10 in (3, 4, 5) else None,
        combat=CombatView(active=True, state=Combat.model_validate(fight))
        if number % 10 in (6, 7, 8)
        else CombatView(),
    )
    return Scene(
        context=context,
        progress=CharacterProgress(
            turns=number, since_quest=number % 7, quest_progress=["done"] * (number % 4)
        ),
        decision=PolicyDecision(Roll(True, number % 3 == 0), Roll(True, number % 3 == 1)),
        sparks=[Place(name="The Drowned Stair", description="It goes on under water.")],
        user_action=action,
        opening=number % 10 == 0,
    )
