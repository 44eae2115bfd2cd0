"""Turns without quest or fight: the opening, looking, talking, moving, resting, death."""

from app.standins.storyteller import places
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.player import MAX_NAME
from app.standins.storyteller.setting import Setting
from app.standins.storyteller.text import cleaned, joined

MAX_ITEMS = 8


def opening(draft: Draft) -> None:
    """The first scene, up to who the player is."""
    setting = draft.setting
    draft.say_any(setting.world.vistas)
    if setting.bind_quote():
        draft.say("scene.wished")
    draft.say("scene.introduction")
    draft.move_to(setting.spot.name)


def first_choice(draft: Draft) -> None:
    draft.say("scene.first_choice")


def mourn(draft: Draft) -> None:
    """A turn of a dead character, which changes nothing."""
    draft.say("scene.elegies")
    draft.say("scene.last_words" if draft.setting.bind_quote() else "scene.silence")
    draft.say("scene.ghostly")
    draft.add("scene.rest_in_peace")
    draft.mood, draft.pacing = "at rest", "slow"


def respond(draft: Draft) -> None:
    """The world's answer to what the player does."""
    if draft.setting.action.kind != "inventory":
        draft.echo()
    setting = draft.setting
    kind = setting.action.kind
    known = places.intended_place(setting)
    if known and kind in ("move", "look", "leave", "flee"):
        places.revisit(draft, known)
        return
    match kind:
        case "look" if not setting.action.moving:
            _look(draft)
        case "talk":
            _talk(draft)
        case "take":
            _trifle(draft, "scene.taken")
        case "use":
            draft.add("scene.used")
        case "rest":
            _rest(draft)
        case "help":
            _advise(draft)
        case "inventory":
            _inventory(draft)
        case "magic":
            draft.add("scene.magic" if setting.casts_magic else "scene.fizzle")
        case "refuse":
            draft.add("scene.declined")
        case "surrender":
            draft.add("scene.surrendered")
        case "leave" if setting.scene.progress.minor_location:
            _leave(draft)
        case "look" | "move" | "leave" | "flee":
            _move(draft)
        case _:
            draft.add("scene.adrift")
            draft.wandering = setting.quest is not None


def hook(draft: Draft) -> None:
    """End on something to do."""
    if not draft.guidance:
        draft.say("scene.quest_hooks" if draft.setting.quest else "scene.hooks")


def _look(draft: Draft) -> None:
    draft.add_any(draft.setting.spot.lines, needed=False)
    draft.add_any(("{weather}",), needed=False)
    _trifle(draft, "scene.noticed")


def _trifle(draft: Draft, phrase: str) -> None:
    setting = draft.setting
    past = "\n".join(setting.history)
    fresh = [trifle for trifle in setting.world.trifles if trifle not in past]
    setting.narrator.bind(trifle=setting.narrator.pick(fresh or setting.world.trifles))
    draft.say(phrase)


def _talk(draft: Draft) -> None:
    setting = draft.setting
    quest, person = setting.quest, setting.person
    draft.say("scene.met_again" if setting.has_met(person) else "scene.met")
    draft.add_any(person.sayings, needed=False)
    if quest and quest.giver.name == person.name:
        draft.say("scene.giver_talk")
    elif quest and setting.narrator.chance(0.6):
        draft.say("scene.quest_talk")
    else:
        draft.say("scene.rumours")
    draft.mood = "friendly"


def _leave(draft: Draft) -> None:
    draft.say("scene.left")
    draft.location = {"action": "leave_poi"}
    draft.mood = "restless"


def _move(draft: Draft) -> None:
    setting, narrator = draft.setting, draft.setting.narrator
    others = setting.other_spots()
    named = next((spot for spot in others if _bare(spot.name) in setting.action.text), None)
    target = named or next(spot for spot in others if spot.name == narrator.value("other"))
    narrator.bind(other=target.name)
    lines = [narrator.expand(line) for line in target.lines]
    narrator.bind(line=narrator.pick([one for one in lines if not narrator.was_said(one)] or lines))
    if named:
        draft.add("scene.arrived")
    else:
        draft.say("scene.moved")
    draft.move_to(target.name)
    draft.spot = target
    # The rest of the turn happens there.
    narrator.bind(spot=target.name, other=_elsewhere(setting, target.name))


def _elsewhere(setting: Setting, here: str) -> str:
    return setting.narrator.pick([spot.name for spot in setting.world.spots if spot.name != here])


def _bare(name: str) -> str:
    return name.casefold().removeprefix("the ")


def _rest(draft: Draft) -> None:
    draft.say("scene.rested")
    if draft.setting.is_wounded:
        draft.add("scene.healed")
    draft.mood, draft.pacing = "weary", "slow"
    draft.wandering = draft.setting.quest is not None


def _inventory(draft: Draft) -> None:
    player = draft.setting.scene.context.player_state
    items = [*player.equipment, *player.inventory]
    goods = [text for item in items[:MAX_ITEMS] if (text := cleaned(item, MAX_NAME))]
    if goods:
        draft.setting.narrator.bind(goods=joined(goods))
    draft.say("scene.carried" if goods else "scene.nothing_carried")


def _advise(draft: Draft) -> None:
    draft.say("scene.thoughts")
    draft.say("scene.quest_options" if draft.setting.quest else "scene.options")
    draft.guidance, draft.mood, draft.pacing = True, "uncertain", "slow"
