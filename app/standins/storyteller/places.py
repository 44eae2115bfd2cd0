"""Discovered places: finding them, remembering them, returning to them."""

from typing import NamedTuple

from app.core.context import Place
from app.standins.storyteller.chance import stable_shuffle
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.schema import Find
from app.standins.storyteller.setting import Setting, place_name
from app.standins.storyteller.text import capital, cleaned, sentences, within


class _NewPlace(NamedTuple):
    name: str
    find: Find
    trait: str
    tags: list[str]


def come_upon(draft: Draft) -> None:
    """Find a new place when policy allows it, else remember an old one."""
    if draft.poi:
        return
    if draft.setting.scene.decision.poi.passed:
        _discover(draft)
    elif draft.setting.scene.sparks:
        _remember(draft)


def revisit(draft: Draft, place: Place) -> None:
    _bind_place(draft.setting, place)
    draft.say("place.returned")
    draft.add("place.changed")
    draft.move_to(place.name)
    draft.poi = {"action": "reference", "name": place.name}


def intended_place(setting: Setting) -> Place | None:
    """The known place that the player names."""
    for place in setting.places:
        name = place_name(place).casefold().removeprefix("the ")
        if len(name) > 3 and name in setting.action.text:
            return place
    return None


def _discover(draft: Draft) -> None:
    new = _new_place(draft.setting)
    if new is None:
        return
    description = new.find.description
    draft.setting.narrator.bind(find=description, trait=new.trait, poi=within(new.name))
    draft.say("place.found")
    draft.poi = {
        "action": "create",
        "name": new.name,
        "description": f"{capital(description)}. {new.trait}",
        "reference_tags": new.tags,
    }


def _new_place(setting: Setting) -> _NewPlace | None:
    """A place whose name the scene does not show; each turn starts elsewhere in the same deck."""
    known = {place.name.strip().casefold() for place in setting.places}
    past = "\n".join(setting.history)
    deck = _deck(setting)
    at = setting.scene.progress.turns % len(deck)
    free = [
        new
        for new in deck[at:] + deck[:at]
        if new.name.casefold() not in known and within(new.name) not in past
    ]
    # Another kind of place is better than the same kind with another trait.
    fresh = (new for new in free if new.find.description not in past and new.trait not in past)
    return next(fresh, next(iter(free), None))


def _deck(setting: Setting) -> list[_NewPlace]:
    """Every find of the world with every trait, in an order of the character's own."""
    deck = [
        _NewPlace(
            f"The {trait.adjective} {find.noun}",
            find,
            trait.description,
            [*find.tags, trait.adjective.lower()],
        )
        for find in setting.world.finds
        for trait in setting.library.traits
        if not (trait.of_stone and "water" in find.tags)
    ]
    stable_shuffle(setting.scene, deck)
    return deck


def _remember(draft: Draft) -> None:
    place = draft.setting.scene.sparks[0]
    _bind_place(draft.setting, place)
    draft.say("place.reminded")
    draft.add("place.feeling")
    draft.poi = {"action": "reference", "name": place.name}


def _bind_place(setting: Setting, place: Place) -> None:
    text = sentences(cleaned(place.description, 160))
    memory = capital(text[0].rstrip(" .,;:-")) if text else "It has stayed with you"
    setting.narrator.bind(
        place=place_name(place), memory=memory + ("" if memory[-1:] in "!?…" else ".")
    )
