"""The answer of a model at a table: a `DungeonMasterOutcome` with an answer to the player, options for
what to do next, and the scene.

Options and scene are side fields: where they are missing or wrong, a second answer (`Supplement`)
supplies them, and the turn goes on in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from app.core import coerce
from app.core.lenient_json import NotJson, parse_json
from app.core.messages import JsonSchema
from app.core.outcome import DungeonMasterOutcome, Intents, parse_as
from app.core.outcome_schema import OPTIONAL_OUTCOME_SCHEMA, OUTCOME_JSON_SCHEMA
from app.core.prose import visible_prose
from app.core.repair import answered, intents_in
from app.core.strict_schema import strict
from app.core.text import has_visible, scrub_surrogates

LEAST_OPTIONS: Final = 3
MOST_OPTIONS: Final = 5
MAX_OPTION: Final = 300
MAX_SCENE_TEXT: Final = 1_000
MAX_SCENE_NAMES: Final = 20


def _text(value: Any) -> str | None:
    found = coerce.text(value)
    return None if found is None else found.strip()[:MAX_SCENE_TEXT] or None


def _names(value: Any) -> list[str]:
    return [name[:MAX_OPTION] for name in coerce.texts(value) or [] if name][:MAX_SCENE_NAMES]


def _response(value: Any) -> str | None:
    """Prose, as it was shown; anything else is none."""
    if not isinstance(value, str):
        return None
    shown = visible_prose(value)
    return shown if has_visible(shown) else None


def options(value: Any) -> tuple[str, ...]:
    """At most `MOST_OPTIONS` different ones with something to read."""
    found = [text.strip()[:MAX_OPTION] for text in coerce.texts(value) or []]
    return tuple(dict.fromkeys(text for text in found if has_visible(text)))[:MOST_OPTIONS]


def enough(choices: Sequence[str]) -> bool:
    """Whether players have something to choose from."""
    return len(choices) >= LEAST_OPTIONS


def _results(value: Any) -> tuple[int, ...]:
    """Whole numbers as far as all are; else none is stated."""
    found = value if isinstance(value, list) else [value]
    return tuple(found) if all(type(one) is int for one in found) else ()


Text = Annotated[str | None, BeforeValidator(_text)]
RollResults = Annotated[tuple[int, ...], BeforeValidator(_results)]
Names = Annotated[list[str], BeforeValidator(_names)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SceneElements(_Part):
    """Persons and things of the scene."""

    npcs_present: Names = []
    objects_of_interest: Names = []
    current_location: Text = None


def _elements(value: Any) -> Any:
    return value if isinstance(value, dict | SceneElements) else {}


class SceneMetadata(_Part):
    """The scene after the turn. `dm_notes` are for a human dungeon master alone."""

    environmental_conditions: Text = None
    immediate_threats: Text = None
    story_progression: Text = None
    scene_elements: Annotated[SceneElements, BeforeValidator(_elements)] = SceneElements()
    dm_notes: Text = None

    @property
    def shown(self) -> dict[str, Any]:
        """The scene without the notes of the dungeon master."""
        return self.model_dump(exclude={"dm_notes"})


def _scene(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict | SceneMetadata) and value else None


def _told(scene: SceneMetadata | None) -> SceneMetadata | None:
    """An object of other fields, or of empty ones, is no scene."""
    return None if scene == SceneMetadata() else scene


Told = Annotated[SceneMetadata | None, BeforeValidator(_scene), AfterValidator(_told)]


class TableOutcome(DungeonMasterOutcome):
    """A whole answer at a table. `roll_results`: of the rolls it was given, as its story goes by them."""

    player_response: Annotated[str | None, BeforeValidator(_response)] = None
    player_options: Annotated[tuple[str, ...], BeforeValidator(options)] = ()
    scene: Told = None
    roll_results: RollResults = ()

    @property
    def story_text(self) -> str:
        """All that players read as prose, as it is persisted."""
        return story_text(self.narrative, self.player_response or "")


def parse_table_outcome(text: str) -> TableOutcome:
    """Read a model's whole answer. Raises `InvalidOutcome`."""
    return parse_as(TableOutcome, text)


def story_text(narrative: str, player_response: str) -> str:
    """Narrative, a blank line, answer."""
    return f"{narrative}\n\n{player_response}" if player_response else narrative


class Supplement(_Part):
    """The parts of a supplementary answer."""

    player_options: Annotated[tuple[str, ...], BeforeValidator(options)] = ()
    scene: Told = None


def read_options(text: str) -> tuple[str, ...]:
    """The options of a still unfinished document; empty where there are not enough."""
    try:
        found = options(parse_json(text).value)
    except NotJson:
        return ()
    return found if enough(found) else ()


def read_scene(text: str) -> SceneMetadata | None:
    """The scene of a still unfinished document."""
    try:
        return Supplement.model_validate({"scene": parse_json(text).value}).scene
    except NotJson:
        return None


def read_supplement(text: str) -> Supplement:
    """Parse a supplementary answer; an unreadable one is empty."""
    try:
        document = parse_json(scrub_surrogates(text), max(text.find("{"), 0)).value
    except NotJson:
        return Supplement()
    return Supplement.model_validate(document) if isinstance(document, dict) else Supplement()


class RolledIntents(_Part):
    """Intents that were asked for again, since they contradicted a roll."""

    intents: Intents
    roll_results: RollResults = ()


def read_rolled_intents(text: str) -> RolledIntents | None:
    """None where the answer holds no intents."""
    try:
        document = answered(text)
        intents = intents_in(document)
    except ValueError:  # no object, no JSON, no intents
        return None
    if intents is None:
        return None
    return RolledIntents(intents=intents, roll_results=document.get("roll_results"))


# -- schemas --------------------------------------------------------------------------------------

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_OPTIONS: Final = {
    "type": "array",
    "items": _TEXT,
    "minItems": LEAST_OPTIONS,
    "maxItems": MOST_OPTIONS,
}
_SCENE: Final = _object(
    environmental_conditions=_TEXT,
    immediate_threats=_TEXT,
    story_progression=_TEXT,
    scene_elements=_object(npcs_present=_TEXTS, objects_of_interest=_TEXTS, current_location=_TEXT),
    dm_notes=_TEXT,
)
_EXAMPLE_SCENE: Final = {
    "environmental_conditions": "night, a rising wind",
    "immediate_threats": "",
    "story_progression": "The party has reached the ferry.",
    "scene_elements": {
        "npcs_present": ["the ferryman"],
        "objects_of_interest": ["a rusted bell"],
        "current_location": "The Ferry Landing",
    },
    "dm_notes": "The ferryman is the drowned king's brother.",
}
_EXAMPLE_OPTIONS: Final = ["Board the ferry", "Ring the bell", "Question the ferryman"]

_INTENTS: Final = OUTCOME_JSON_SCHEMA["properties"]["intents"]
_RESULTS: Final = {"type": "array", "items": {"type": "integer"}}
_SHOWN: Final = {
    "narrative": OUTCOME_JSON_SCHEMA["properties"]["narrative"],
    "player_response": _TEXT,
    "player_options": _OPTIONS,
    "scene": _SCENE,
}
_EXAMPLE: Final = {
    "narrative": "The lantern swings as you step onto the pier. “You’re late,” says the ferryman.",
    "player_response": "Your boots slip on the wet boards, but you keep your feet.",
    "player_options": _EXAMPLE_OPTIONS,
    "scene": _EXAMPLE_SCENE,
}
_EXAMPLE_INTENTS: Final = {"quest_intent": None, "combat_intent": None}


def _schema(name: str, example: dict[str, Any], **properties: Any) -> JsonSchema:
    loose = _object(**properties)
    if "intents" in properties:
        loose["properties"]["intents"] = OPTIONAL_OUTCOME_SCHEMA["properties"]["intents"]
    return JsonSchema(name, strict(_object(**properties)), example, loose)


TABLE_SCHEMA: Final = _schema(
    "table_outcome", {**_EXAMPLE, "intents": _EXAMPLE_INTENTS}, **_SHOWN, intents=_INTENTS
)
ROLLED_SCHEMA: Final = _schema(
    "table_outcome_of_rolls",
    {**_EXAMPLE, "roll_results": [14], "intents": _EXAMPLE_INTENTS},
    **_SHOWN,
    roll_results=_RESULTS,
    intents=_INTENTS,
)
"""For turns that answer rolls."""
ROLLED_INTENTS_SCHEMA: Final = _schema(
    "intents_of_rolls",
    {"roll_results": [14], "intents": _EXAMPLE_INTENTS},
    roll_results=_RESULTS,
    intents=_INTENTS,
)
SUPPLEMENT_SCHEMA: Final = _schema(
    "table_supplement",
    {"player_options": _EXAMPLE_OPTIONS, "scene": _EXAMPLE_SCENE},
    player_options=_OPTIONS,
    scene=_SCENE,
)
