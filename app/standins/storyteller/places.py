"""Places worth remembering: finding them, and coming back to them."""

from __future__ import annotations

from app.core.context import Place
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.grammar import capital, cleaned, sentences, within
from app.standins.storyteller.lore import AIRS
from app.standins.storyteller.setting import Setting, place_name, shuffled

_FOUND = (
    "And then, a little off the way, there is {find}. {air} People have names for a place like that."
    " Yours comes to you unasked: {poi}.",
    "What you had not expected is {find}. {air} [Somebody has scratched a name beside it|An old sign"
    " still gives its name]: {poi}.",
    "You nearly walk past {find}. {air} You decide that this is {poi}, and that you will know it"
    " again.",
)
_REMINDED = (
    "For a moment another place lies over this one: {place}. {memory}",
    "Something in the light reminds you of {place}. {memory}",
    "You cannot say why you should think of {place} now. {memory}",
)
_FEELING = (
    "[You know that you have not finished with it.|You would find the way in the dark.]",
    "[It seems nearer than it was.|You left something there, if only a question.]",
)
_RETURNED = (
    "You find the way back to {place} without having to look for it. {memory}",
    "{Place} is as you left it, or very nearly. {memory}",
)
_CHANGED = (
    "Only one thing is different: somebody else has been here since. [There is a candle, still soft.|"
    "The dust has been wiped from one stone.]",
    "You notice what you did not notice then: [a second way out|a mark at the height of your eyes],"
    " not hidden, only modest.",
)


def come_upon(draft: Draft) -> None:
    """Find a new place when policy allows it, else be reminded of an old one."""
    if draft.poi:
        return
    if draft.setting.scene.decision.poi.passed:
        discover(draft)
    elif draft.setting.scene.sparks:
        remember(draft)


def discover(draft: Draft) -> None:
    """A new place, whose name the scene does not show yet."""
    setting = draft.setting
    found = _new_place(setting)
    if found is None:
        return
    name, find, air, tags = found
    setting.voice.bind(find=find, air=air, poi=within(name))
    draft.say(*_FOUND)
    draft.poi = {
        "action": "create",
        "name": name,
        "description": f"{capital(find)}. {air}",
        "reference_tags": tags,
    }


def _new_place(setting: Setting) -> tuple[str, str, str, list[str]] | None:
    """Name, what it is, its air, its tags; each turn starts at another place of the same deck."""
    known = {place.name.strip().casefold() for place in setting.places}
    told = "\n".join(setting.told)
    deck = [
        (
            f"The {air.adjective} {find.noun}",
            find.text,
            air.text,
            [*find.tags, air.adjective.lower()],
        )
        for find in setting.world.finds
        for air in AIRS
        if not (air.of_stone and "water" in find.tags)
    ]
    shuffled(setting.scene, deck)
    at = setting.scene.progress.turns % len(deck)
    free = [
        row
        for row in deck[at:] + deck[:at]
        if row[0].casefold() not in known and within(row[0]) not in told
    ]
    # Another kind of place is better than the same kind with another air.
    fresh = (row for row in free if row[1] not in told and row[2] not in told)
    return next(fresh, next(iter(free), None))


def remember(draft: Draft) -> None:
    """Weave in the first remembered place."""
    spark = draft.setting.scene.sparks[0]
    _bind_place(draft.setting, spark)
    draft.say(*_REMINDED)
    draft.add(*_FEELING)
    draft.poi = {"action": "reference", "name": spark.name}


def revisit(draft: Draft, place: Place) -> None:
    _bind_place(draft.setting, place)
    draft.say(*_RETURNED)
    draft.add(*_CHANGED)
    draft.move_to(place.name)
    draft.poi = {"action": "reference", "name": place.name}


def place_meant(setting: Setting) -> Place | None:
    """The known place that the player names."""
    for place in setting.places:
        name = place_name(place).casefold().removeprefix("the ")
        if len(name) > 3 and name in setting.reading.text:
            return place
    return None


def _bind_place(setting: Setting, place: Place) -> None:
    text = sentences(cleaned(place.description, 160))
    memory = capital(text[0].rstrip(" .,;:-")) if text else "It has stayed with you"
    setting.voice.bind(
        place=place_name(place), memory=memory + ("" if memory[-1:] in "!?…" else ".")
    )
