"""The character in the words of the story."""

import re

from app.core.intents import current_location
from app.core.prompt import Scene
from app.standins.storyteller.actions import MAX_READ
from app.standins.storyteller.schema import Weapon
from app.standins.storyteller.text import cleaned, within

MAX_NAME = 60
MAX_WORD = 30

_ARMS = re.compile(r"sword|axe|blade|knife|dagger|spear|mace|hammer|staff|club|sabre|rapier", re.I)
_MY_ARMS = re.compile(rf"\bmy (?:\w+ )?({_ARMS.pattern})\b", re.I)


def player_slots(scene: Scene, weapons: tuple[Weapon, ...]) -> dict[str, str]:
    player = scene.context.player_state
    return {
        "name": cleaned(player.identity.name, MAX_NAME) or "stranger",
        "kind": _kind(player.identity.race, player.identity.class_name),
        "weapon": _weapon(scene, weapons),
        "here": _here(scene),
    }


def _here(scene: Scene) -> str:
    """The location's name; one that is only an id is made readable."""
    text = cleaned(current_location(scene.context, scene.progress).label, MAX_NAME)
    if re.fullmatch(r"[a-z0-9:_-]+", text):
        text = text.rpartition(":")[2].replace("_", " ").replace("-", " ").strip().title()
    return within(text) or "the borderlands"


def _kind(race: str, class_name: str) -> str:
    words = [_noun(text) for text in (race, class_name)]
    return " ".join(word for word in words if word) or "traveller"


def _weapon(scene: Scene, weapons: tuple[Weapon, ...]) -> str:
    """The weapon of the player's last words, else of the equipment, else of the class."""
    past = [turn.player_action for turn in scene.context.narrative.recent_turns]
    for action in (scene.user_action, *reversed(past)):
        if named := _MY_ARMS.search(action[:MAX_READ]):
            return named[1].lower()
    player = scene.context.player_state
    carried = (_noun(item) for item in player.equipment if _ARMS.search(item))
    class_name = player.identity.class_name.casefold()
    usual = (w.name for w in weapons if any(part in class_name for part in w.classes.split()))
    return next(carried, "") or next(usual, "blade")


def _noun(text: str) -> str:
    """“Half-Elf” as “half-elf”; other spellings stay as they are."""
    text = cleaned(text, MAX_WORD)
    return text.lower() if text.istitle() else text
