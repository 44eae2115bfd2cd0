"""Everything that is no quest and no fight: the opening, looking, talking, moving, resting, dying."""

from __future__ import annotations

from app.standins.storyteller import places
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.echoes import echo
from app.standins.storyteller.setting import Setting

_WISHED = (
    "Somebody asked you once what you were looking for. You said: “{words}{stop}” It was a foolish"
    " thing to say aloud. Something has been listening ever since.",
    "“{words}{stop}” That is what you told them when you left. Well, here you are.",
)
_WHO = (
    "You are {name}, {a:kind}, with a {weapon} you trust and boots you do not. {Weather}",
    "Your name is {name}. You are {a:kind}, and it shows in the way people make room for you, or"
    " fail to. {Weather}",
)
_FIRST_CHOICE = (
    "At {spot} you stop. {Npc_full}, {npc_role}, is here, {npc_look}, and has already noticed you. The"
    " way goes on to {other}. Do you speak first, or look around, or walk on?",
    "You have come as far as {spot}. Close by is {npc_full}, {npc_role}, {npc_look}; further on lies"
    " {other}. Where do you begin, {name}?",
)
_NOTICED = (
    "There is more here than you saw at first: {trifle}.",
    "Your eye catches on something that does not belong: {trifle}. [You leave it where it is, for"
    " now.|You put it away without knowing why.]",
    "What you find is {trifle}. It was left here on purpose, you would swear to it.",
)
_TAKEN = (
    "Your fingers close on {trifle}. Nobody shouts. [That is nearly worse.|You take that as leave.]",
    "It comes away more easily than it should, and under it lies {trifle}. You keep both your"
    " thoughts and that.",
)
_USED = (
    "It works, though not as you thought it would: something gives, something else catches, and for"
    " a heartbeat all of {spot} holds still.",
    "There is a click somewhere that you did not make. [You wait, and nothing comes of it yet.|Dust"
    " trickles down. Then nothing.]",
    "That changes something. You cannot see what, but the air moves differently afterwards.",
)
_MET = (
    "{Npc_full}, {npc_role}, looks up, {npc_look}.",
    "You find {npc_full}, {npc_role}, {npc_look}.",
    "It is {npc_full}, {npc_role}, who answers, {npc_look}.",
)
_MET_AGAIN = (
    "{Npc} has been half expecting you.",
    "{Npc} makes room for you, which is an answer of a kind.",
    "“You again,” says {npc}, not unkindly.",
)
_RUMOURS = (
    "Then, more quietly: “If I were {a:kind}, which I am not, I would have a look at {other}. I am"
    " not saying why.”",
    "“They have seen lights at {other},” {npc} adds, and will not be drawn on who they are.",
    "“{name},” {npc} says, tasting it. “I will remember that. Somebody asked for you, over at"
    " {other}. I said I did not know you. It was true, then.”",
)
_QUEST_TALK = (
    "You bring the talk round to what you promised {giver}. {Npc} grows careful. “So it is you who"
    " is doing it,” is all the answer you get. “Then do not leave it until it is dark.”",
    "When you mention {giver}, {npc} nods. “{Task},” {npc} says. “That is what I would do. But then"
    " I am still here, and you are not meant to be.”",
)
_GIVER_TALK = (
    "“Are you still here?” asks {giver}, but kindly. “I know. One wants to talk first. Talk, then."
    " But remember: {task}.”",
    "{Giver} tells it all again, and this time there is a detail in it that was not there before,"
    " a small one, the sort that is true. The rest has not changed: {task}.",
)
_MOVED = (
    "The way takes you to {other}. {line}",
    "You come to {other}. {line}",
    "It is not far to {other}, but far enough for the light to change. {line}",
)
_ARRIVED = (
    "It is not far. {line}",
    "The light has changed by the time you get there. {line}",
    "Nobody stops you. {line}",
)
_RESTED = (
    "You let yourself down with your back against something that will not move, and close your eyes"
    " for as long as it takes to count to a hundred. You get as far as seventy.",
    "You rest. Not well, but as much as {spot} allows, with one hand on your {weapon}.",
    "You give yourself an hour. [Nothing bites you.|You dream of a door, and wake before it opens.]",
)
_HEALED = (
    "Your wound has stopped throbbing and begun to itch, and an itch is only healing with bad"
    " manners. You are in no state to hurry, and nobody makes you.",
    "You clean the wound, bind it again, and do it properly this time.",
)
_LEFT = (
    "You leave {spot} behind you without looking back. {Weather} The road goes on to {other}, and"
    " for the moment you belong to nobody.",
    "You turn your back on {spot}. With every step it gets quieter, until there is only the road,"
    " which leads by {other} sooner or later. {Weather}",
)
_ADRIFT = (
    "{Weather} Nothing comes of it straight away. [The world is slow sometimes.|It seldom does.]",
    "It changes nothing that you can see. But you have been seen doing it.",
    "At {spot} nobody objects. [An old dog opens one eye.|Somebody nearby hums, and stops.]",
)
_THOUGHTS = (
    "You stop and make yourself think. [There is always more than one way on.|It helps to count what"
    " you have.]",
    "When in doubt, your first teacher used to say, put it into words. So you do.",
)
_OPTIONS = (
    "You could go to {other}, which you have not seen enough of. You could talk to {npc}, who knows"
    " more than one would think. Or you could look round {spot} properly, for once.",
    "{Npc} is at hand, and likes being asked. {Other} is within reach. And there is always your"
    " {weapon}, for those who will not listen.",
)
_QUEST_OPTIONS = (
    "There is what you promised {giver}: {task}. That is the straight way. You might also ask {npc}"
    " about it first, or look about at {other}; the straight way will wait a little, though not for"
    " ever.",
)
_HOOKS = (
    "From here you can see the way to {other}. [Do you take it?|What do you do?]",
    "{Npc} is watching you from a little way off. So is something else, perhaps.",
    "{Weather} What do you do, {name}?",
    "[There is time for one more thing before the light goes.|The light is going.] {Other}, or stay?",
)
_QUEST_HOOKS = (
    "And all the while it waits for you: {task}.",
    "{Giver} is counting on you. [The next step is no secret|You know what comes next]: {task}.",
    "[You have not come here to stand about.|It is time, you think.] There is still this to do:"
    " {task}.",
)
_LAST_WORDS = (
    "You would have done it, too. “{words}{stop}” But hands that are not there close on nothing, and"
    " the words do not reach the air.",
    "“{words}{stop}” You think it as loudly as you can. A candle near your body leans a little to"
    " one side, and stands up again.",
)
_SILENCE = (
    "You reach out as you always did. The world goes on through your hand, not unkindly.",
    "You mean to do something. It turns out that meaning to is all that is left.",
)
_ELEGIES = (
    "Here lies {name}, {kind}, and the grass has begun to be interested. {Weather} They have laid"
    " your {weapon} across your knees and argued about the song.",
    "{Name} is dead. It is said quietly in {here}, at doors, over fences. By evening there is"
    " already a version in which you were taller.",
    "There is no pain in it. You stand beside yourself as beside a house in which you used to live,"
    " and somebody has drawn the curtains.",
    "Somebody has sat with your body all night, and talks to it now and then, about nothing much."
    " It is the kindest thing you ever overheard.",
)
_GHOSTLY = (
    "In {here} the lamps are lit as on any evening. At {spot} a child looks straight at you, raises"
    " one hand, and is called in to supper.",
    "{Weather} You notice that you can hear the stars, now that there is nothing else you have to"
    " listen to.",
    "{Npc} passes, stops where you are, and shivers. “All right,” says {npc} to nobody. “All right,"
    " {name}. Go easy.”",
    "What you left undone stands about like furniture under sheets. It will be somebody else’s."
    " You find that you do not mind.",
)
_REST_IN_PEACE = (
    "The story goes on. It goes on without you, and carries your name a little way.",
    "There is a road, and for once it asks nothing of you.",
    "After a while even the waiting stops, and it is only evening.",
)


def opening(draft: Draft) -> None:
    """The first scene, up to who the player is."""
    setting = draft.setting
    draft.say(*setting.world.vistas)
    words = setting.reading.spoken
    if words:
        setting.voice.bind(words=words, stop="" if words[-1] in "?!…" else ".")
        draft.say(*_WISHED)
    draft.say(*_WHO)
    draft.move_to(setting.spot.name)


def first_choice(draft: Draft) -> None:
    draft.say(*_FIRST_CHOICE)


def elegy(draft: Draft) -> None:
    words = draft.setting.reading.spoken
    draft.say(*_ELEGIES)
    if words:
        draft.setting.voice.bind(words=words, stop="" if words[-1] in "?!…" else ".")
    draft.say(*(_LAST_WORDS if words else _SILENCE))
    draft.say(*_GHOSTLY)
    draft.add(*_REST_IN_PEACE)
    draft.mood, draft.pacing = "at rest", "slow"


def respond(draft: Draft) -> None:
    """Let the world answer what the player does."""
    echo(draft)
    setting = draft.setting
    known = places.place_meant(setting)
    if known and setting.reading.deed in ("move", "look", "leave", "flee"):
        places.revisit(draft, known)
        return
    match setting.reading.deed:
        case "look" if not setting.reading.moving:
            _look(draft)
        case "talk":
            _talk(draft)
        case "take":
            _trifle(draft, _TAKEN)
        case "use":
            draft.add(*_USED)
        case "rest":
            _rest(draft)
        case "help":
            _advise(draft)
        case "leave" if setting.scene.progress.minor_location:
            draft.say(*_LEFT)
            draft.location = {"action": "leave_poi"}
            draft.mood = "restless"
        case "look" | "move" | "leave" | "flee":
            _move(draft)
        case _:
            draft.add(*_ADRIFT)
            draft.wandering = setting.errand is not None


def hook(draft: Draft) -> None:
    """End on something to do."""
    if draft.guidance:
        return
    draft.say(*(_QUEST_HOOKS if draft.setting.errand else _HOOKS))


def _look(draft: Draft) -> None:
    draft.add(*draft.setting.spot.lines)
    draft.add("{weather}")
    _trifle(draft, _NOTICED)


def _trifle(draft: Draft, rules: tuple[str, ...]) -> None:
    setting = draft.setting
    told = "\n".join(setting.told)
    fresh = [trifle for trifle in setting.world.trifles if trifle not in told]
    setting.voice.bind(trifle=setting.voice.pick(fresh or setting.world.trifles))
    draft.say(*rules)


def _talk(draft: Draft) -> None:
    setting = draft.setting
    errand, person = setting.errand, setting.person
    met = setting.has_met(person)
    draft.say(*(_MET_AGAIN if met else _MET))
    draft.add(*person.sayings)
    if errand and errand.giver.name == person.name:
        draft.say(*_GIVER_TALK)
    elif errand and setting.voice.chance(0.6):
        draft.say(*_QUEST_TALK)
    else:
        draft.say(*_RUMOURS)
    draft.mood = "friendly"


def _move(draft: Draft) -> None:
    setting = draft.setting
    named = next((s for s in setting.others() if _bare(s.name) in setting.reading.text), None)
    target = named or next(s for s in setting.others() if s.name == setting.voice.value("other"))
    setting.voice.bind(other=target.name)
    setting.voice.bind(line=setting.voice.expand(setting.voice.pick(target.lines)))
    if named:
        draft.add(*_ARRIVED)
    else:
        draft.say(*_MOVED)
    draft.move_to(target.name)
    draft.spot = target
    # What follows is told from there.
    setting.voice.bind(spot=target.name, other=_elsewhere(setting, target.name))


def _elsewhere(setting: Setting, here: str) -> str:
    return setting.voice.pick([s.name for s in setting.world.spots if s.name != here])


def _bare(name: str) -> str:
    return name.casefold().removeprefix("the ")


def _rest(draft: Draft) -> None:
    wounded = draft.setting.scene.context.player_state.status == "Wounded"
    draft.say(*_RESTED)
    if wounded:
        draft.add(*_HEALED)
    draft.mood, draft.pacing = "weary", "slow"
    draft.wandering = draft.setting.errand is not None


def _advise(draft: Draft) -> None:
    draft.say(*_THOUGHTS)
    draft.say(*(_QUEST_OPTIONS if draft.setting.errand else _OPTIONS))
    draft.guidance, draft.mood, draft.pacing = True, "uncertain", "slow"
