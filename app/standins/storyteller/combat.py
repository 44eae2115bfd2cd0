"""Fights: how they start, go on for a few turns, and end."""

from __future__ import annotations

import re

from app.core.context import Combat
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.echoes import echo
from app.standins.storyteller.grammar import cleaned, joined, with_article, within
from app.standins.storyteller.lore import Foe
from app.standins.storyteller.player import MAX_NAME
from app.standins.storyteller.setting import Setting, fixed_choice
from app.standins.storyteller.words import Deed
from app.standins.storyteller.worlds import foe_named

_STRANGE = Foe(
    name="",
    epithets=(),
    description="",
    threat="medium",
    arrivals=(),
    strikes=(
        "{Foe} drives at you, and you give one step, and then another.",
        "{Foe} feints high, and the blow that matters comes from below.",
        "You see {foe} coming and are still almost too late.",
    ),
    falters=(
        "{Foe} is breathing hard now, or doing whatever it is that serves instead.",
        "For the first time {foe} gives ground.",
    ),
    ends=(
        "{Foe} goes down, tries to rise, and thinks better of it for good.",
        "There is one moment when it could have gone the other way. Then {foe} falls.",
    ),
)
_STRUCK_FIRST = (
    "[Your blow meets nothing but air, and something else has been waiting for exactly that.|It is"
    " the wrong moment to make a noise.]",
    "You are not a moment too soon.",
    "What answers is not what you had in mind.",
)
_STANCE = (
    "[Your {weapon} is in your hand before you have thought of it.|You shift your grip on your"
    " {weapon} and find your footing.] Who moves first?",
    "There is room for one good decision. [Your {weapon} feels light.|Your mouth is dry.]",
    "[Behind you the way is still open.|You could still run.] You raise your {weapon} all the same,"
    " to see how it feels.",
)
_ANSWERS: dict[Deed, tuple[str, ...]] = {
    "attack": (
        "Your {weapon} [goes in under the guard|finds the gap you were hoping for|is there a"
        " heartbeat before anything can be done about it], and {foe} reels.",
        "It is not pretty, but it is quick: {foe} is knocked back a full [pace|yard].",
        "You put your shoulder behind your {weapon}, and {foe} takes the whole of it.",
    ),
    "talk": (
        "{Foe} hears you out with the patience of something that need not understand.",
        "Words are not much of a weapon, but for a breath {foe} hesitates, and you use the breath.",
    ),
    "look": (
        "You give ground and look, really look: {foe} always leads from the same side.",
        "There it is, the small stumble before each spring. {Foe} does not know that it does that.",
    ),
    "use": (
        "{Foe} was ready for your {weapon}, not for this, and flinches from it.",
        "It buys you [a breath|two steps of distance], and {foe} hates you for it.",
    ),
    "rest": (
        "It lasts about a heartbeat. Then you drop to one knee, and {foe} goes clean over you.",
        "You get as far as one long breath, as though you had all evening. {Foe} finds that insulting.",
    ),
}
_OTHERWISE = (
    "{Foe} had not reckoned with that, and for a moment the fight is on your side.",
    "It almost works. [It unsettles {foe}, at any rate.|{Foe} has to turn, and turns slowly.]",
    "You keep moving, so that {foe} has to come to you over bad ground.",
)
_CIRCLING = (
    "On your other side there is still {helpers}, waiting for you to forget how to count.",
    "You have not forgotten {helpers}, and keep a wall at your back.",
)
_DROPPING = (
    "At least you need not think of {helpers} any more: [flat on the ground|out of the fight].",
    "{Helpers} went down a moment ago and stayed down. That leaves one.",
)
_CHOICES = (
    "There is a gap to your left. {Foe} has seen it as well.",
    "[One more like that will settle it|It will not last much longer], one way or the other.",
    "You have your breath and your {weapon}, and a heartbeat to choose what to do with them.",
    "{Foe} gathers for the next rush. [High or low?|Stand, or give way?]",
)
_FINISHING = (
    "And that is the opening. You take it with everything you have left.",
    "This time you are faster.",
    "You do not think. Your {weapon} does it for you.",
)
_QUIET = (
    "Then it is quiet, and you can hear your own heart, and after a while the rest of the world.",
    "You stand there with your {weapon} hanging, until your hands stop shaking and are yours again.",
    "It is over. [Nobody claps.|A little late, your knees hear of it.]",
)
_GONE = (
    "You run. [You do not look round until your lungs make you|Stones, steps, a corner, another"
    " corner], and when you stop there is nothing behind you but your own noise.",
    "There is no shame in it, only distance. {Foe} follows to some border you cannot see, stops"
    " there, and watches you go.",
)


def start(draft: Draft, foe: Foe, *, struck: bool = False) -> None:
    """One to three of a kind appear, or the one the player struck at (`struck`)."""
    voice = draft.setting.voice
    most = 1 if struck else 3 if foe.threat == "low" else 2
    count = voice.pick(range(1, most + 1))
    names = [f"{epithet} {foe.name}" for epithet in foe.epithets[:count]]
    if count == 1:
        names = [foe.name]
    voice.bind(foe=f"the {names[0]}", foe_kind=names[0])
    if struck:
        draft.add(*_STRUCK_FIRST)
    draft.say(*foe.arrivals)
    if count > 1:
        others = joined([with_article(f"{epithet} one") for epithet in foe.epithets[1:count]])
        voice.bind(others=others)
        draft.add(
            "And there is company: {others}.",
            "It would be too simple if there were only one: here comes {others}, too.",
        )
    draft.say(*_STANCE)
    draft.mood, draft.pacing = "determined" if struck else "alarmed", "fast"
    draft.combat = {
        "action": "start",
        "enemies": [
            {"name": name.title(), "description": foe.description, "threat": foe.threat}
            for name in names
        ],
        "combat_notes": f"It begins at {draft.setting.spot.name}.",
    }


def go_on(draft: Draft, combat: Combat) -> None:
    """One more turn of the fight, whichever it is: another exchange, its end, or flight."""
    foe = _bind_enemies(draft.setting, combat)
    draft.pacing = "fast"
    if draft.setting.reading.deed in ("flee", "leave"):
        _flight(draft)
    elif combat.turn >= _length(draft.setting, combat):
        _victory(draft, foe, combat)
    else:
        _exchange(draft, foe, combat)


def foe_meant(setting: Setting) -> Foe:
    """Whom an attack is aimed at: the foe the player names, else the quest's, else any."""
    for foe in setting.world.foes:
        if foe.name in setting.reading.text or foe.name.split()[-1] in setting.reading.text:
            return foe
    by_chance = setting.voice.pick(setting.world.foes)
    tale = setting.errand.tale if setting.errand else None
    return setting.foe_of(tale) or by_chance


def _length(setting: Setting, combat: Combat) -> int:
    """The combat turn on which it is won: a fight takes three tellings, or four against several."""
    several = len(combat.enemies) > 1
    return fixed_choice(setting.scene, combat.combat_id, (2, 3)) if several else 2


def _bind_enemies(setting: Setting, combat: Combat) -> Foe:
    names = [_shown(enemy.name) for enemy in combat.enemies[:5]] or ["your enemy"]
    helpers = names[1:]
    setting.voice.bind(foe=names[0], helpers=joined(helpers) if helpers else "nobody else")
    return (foe_named(combat.enemies[0].name) if combat.enemies else None) or _STRANGE


def _shown(name: str) -> str:
    text = cleaned(name, MAX_NAME) or "the nameless one"
    if foe_named(name):
        text = text.lower()
    return within(text) if re.match(r"(?i)the ", text) else f"the {text}"


def _exchange(draft: Draft, foe: Foe, combat: Combat) -> None:
    echo(draft)
    draft.add(*_ANSWERS.get(draft.setting.reading.deed, _OTHERWISE))
    many = len(combat.enemies) > 1
    if combat.turn < 2:
        draft.say(*foe.strikes)
        if many:
            draft.add(*_CIRCLING)
    else:
        draft.say(*foe.falters)
        if foe.name:
            draft.setting.voice.bind(foe=f"the {foe.name}")
        draft.add(*foe.strikes)
        if many:
            draft.add(*_DROPPING)
    if draft.setting.reading.deed == "help":
        draft.guidance = True
        draft.say(
            "Think. You can strike again, or talk, or watch for the weak side of {foe}; and"
            " while your legs hold, you can always run."
        )
    else:
        draft.say(*_CHOICES)
    draft.mood = "fierce" if draft.setting.reading.deed == "attack" else "tense"
    draft.combat = {
        "action": "continue",
        "combat_notes": f"Turn {combat.turn + 1} against {draft.setting.voice.value('foe')}.",
    }


def _victory(draft: Draft, foe: Foe, combat: Combat) -> None:
    echo(draft)
    draft.add(*_FINISHING)
    draft.say(*foe.ends)
    if len(combat.enemies) > 1 and combat.turn < 3:  # later, they have been told to be down
        draft.add(
            "When you turn round for {helpers}, there is nobody left to turn round for.",
            "You look about for {helpers}, and see only [the dust they left|trodden ground].",
        )
    draft.say(*_QUIET)
    if draft.setting.scene.context.player_state.status == "Wounded":
        draft.add("Your old wound has opened a little, and says so.")
    _what_now(draft)
    draft.mood, draft.pacing = "relieved", "normal"
    draft.combat = {
        "action": "end",
        "combat_notes": f"{draft.setting.voice.expand('{Foe}')} is beaten.",
    }


def _what_now(draft: Draft) -> None:
    if draft.setting.errand:
        draft.add(
            "Nothing stands between you and the rest of it now: {task}.",
            "You think of {giver}. What is left is plain enough: {task}.",
        )
    else:
        draft.add(
            "Whatever it was guarding, or hungry for, is yours to find out about, at {spot} or"
            " further on.",
            "[The way to {other} is open.|Nobody bars the way to {other} any longer.]",
        )


def _flight(draft: Draft) -> None:
    echo(draft)
    draft.say(*_GONE)
    draft.say(
        "Your legs have brought you to {other}. {Weather} You are alone here, as far as you can"
        " tell. [Now what?|You have time to think about what you do next.]"
    )
    draft.move_to(draft.setting.voice.value("other"))
    draft.mood = "shaken"
    draft.combat = {"action": "end", "combat_notes": "You got away."}
