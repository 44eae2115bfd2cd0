"""Quests: the offer, the way through the requirements, the finale; and giving up."""

from __future__ import annotations

import re

from app.standins.storyteller import combat, places
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.echoes import echo
from app.standins.storyteller.grammar import capital, joined
from app.standins.storyteller.lore import QuestTale
from app.standins.storyteller.setting import (
    REFERENCE,
    Errand,
    Setting,
    bind_quest,
    place_name,
)
from app.standins.storyteller.worlds import quests_of

_MEETING = (
    "{Giver_full}, {giver_role}, is here, {giver_look}, and has been waiting for somebody like you.",
    "That is when {giver_full}, {giver_role}, finds you. [There is no hello.|It is not by accident.]",
    "At {spot} stands {giver_full}, {giver_role}, {giver_look}.",
)
_MEETING_AGAIN = (
    "{Giver} comes [closer|up beside you] and looks round to see who else is listening.",
    "“Since it is you,” says {giver}, [more quietly than before|and does not go on at once].",
)
_PLEADING = (
    "“You are {a:kind},” {giver} says. “I would not ask {a:kind} to carry my shopping. I am asking"
    " this.” Do you take it on?",
    "“Well, {name}?” There is no threat in it, and no begging. It is only a question, and the whole"
    " evening leans in to hear what you say.",
    "{Giver} waits. You could say yes. You could still say no, and sleep, and always wonder.",
)
_LED_BACK = (
    "“And before the end of it,” {giver} adds, “you will have to go back to {reference}. I am sorry."
    " These things always come back to a place like that.”",
    "“You know {reference},” says {giver}, and it is not a question. “It starts there, or ends"
    " there. You will see when you stand in it again.”",
)
_SETTING_OUT = (
    "{Giver} lets out a long breath. “Then listen: {task}. That comes first. The rest you will not"
    " believe until you have seen it.”",
    "“Good,” says {giver}, as if you had mended something already. “Begin with this: {task}. And"
    " {name}? Thank you.”",
)
_READY = (
    "You check your {weapon}, your boots, and the sky. {Weather}",
    "There is no ceremony. {Weather} You pull your belt a hole tighter.",
)
_DEPARTURE = (
    "The way is clear enough. Do you go now, or is there something you want to look at first?",
    "From {spot} it is no great distance. What is your first step?",
)
_ON_THE_WAY = (
    "It brings you a step nearer to what you promised {giver}.",
    "You have not forgotten {giver}, or what you said you would do.",
    "All the while you have one thing in the back of your mind, and now it comes to the front.",
    "One thing leads to another, and the other is what you came for.",
)
_NOT_YET = (
    "Not here, and not yet; but you know now where that wants to go, and you go there.",
    "It is a rehearsal. The real thing lies a little further on, and you know the way.",
)
_NEXT = (
    "So that is that, and now the next thing: {next_task}. [Where do you begin?|At once, or not yet?]",
    "[It is a beginning.|You are further than you were.] What is left is this: {next_task}.",
    "You let it sink in. Then: {next_task}. It sounds simple, put like that.",
)
_BACK_TO_REFERENCE = (
    "You come back to {reference} by another way than the first time, and it takes you a moment to"
    " know it. {Weather}\n\nThe answer has been here all along, where you stood and did not ask:"
    " one small thing out of place, which makes sense of all the others. You take it with you.",
    "Nothing at {reference} has moved, and everything means something else now. You walk through it"
    " slowly, with {giver}’s words in your ear, until one of them fits, like a key.",
)
_PLAIN_STAGES = (
    "There is a way to do it, and you find it on the second try. {Weather} When you stand back"
    " there is no doubt left: what had to be done here, which was to {task}, is done.",
    "It takes longer than you thought and costs less than you feared. Somewhere in the middle of it"
    " you stop wondering whether, and begin to wonder what comes after. {Task}: you can put a line"
    " through that.",
    "You ask, you look, you are lied to once and told the truth once, and you can tell which was"
    " which. By the end of it you know what you came to know. {Task}: that is behind you.",
)
_PLAIN_FINALES = (
    "The end of {quest} is quieter than its beginning. You do the last of it with your own hands:"
    " {task}. Then there is nothing left to do, and you notice how tired you are, and how light.",
    "And so it closes. {Task}: it takes all that you learned on the way, and one thing that you knew"
    " before. When it is done you stay a little longer, because nobody else will ever know how it"
    " was.",
)
_REWARDS = (
    "There is a reward, and you are not allowed to refuse it: {treasure}. You are still"
    " turning it over in your hands an hour later.",
    "“This is yours,” {giver} says, and gives you {treasure}. “It is not enough. It never is. Take"
    " it.”",
)
_PLAIN_REWARDS = (
    "{Giver} hears of it before you can tell it, and pays what was promised, and a handshake over.",
    "What was promised is paid, to the coin. {Giver} looks you in the eye, and that is paid, too.",
)
_AFTERWARDS = (
    "The evening is yours. [There are roads you have not seen the end of.|People look at you"
    " differently, and quickly away.] What now, {name}?",
    "One story is over. {Weather} Somewhere round a corner the next one is clearing its throat.",
    "You have nowhere to be. [It is a strange feeling, and not a bad one.|It will not last.] Where"
    " do you go?",
)
_REFUSED = (
    "{Giver} nods slowly. “Then I will ask somebody else,” and after a while: “There is nobody else."
    " But I will ask.” You are left alone with it.",
    "“No,” {giver} repeats, trying out the word. “Well. It was honest.” The matter is closed, as"
    " a door is closed when there is a draught.",
)
_GIVEN_UP = (
    "You let it go: {quest}, the promise and the weight of it. Nothing thunders. Only somewhere, you"
    " think, {giver} has looked up just now and does not know why.",
    "There is a moment at which one can still turn back, and this is it, and you turn. You will have"
    " to tell {giver}, or take care not to meet. {Quest} goes on without you, as things do.",
)


def choose(setting: Setting) -> QuestTale:
    """A quest that was not told lately, if possible one of the person at hand."""
    told = "\n".join(setting.told)
    tales = quests_of(setting.world)
    fresh = [tale for tale in tales if not _heard(tale, told)] or tales
    at_hand = [tale for tale in fresh if tale.giver == setting.person.name]
    return setting.voice.pick(at_hand or fresh)


def _heard(tale: QuestTale, told: str) -> bool:
    """Whether a turn before told the end of it; a rule is told apart by its longest plain piece."""
    pieces = re.split(r"\{\w+\}|\n", tale.stages[-1].telling)
    return max(pieces, key=len) in told


def offer(draft: Draft, *, opening: bool = False) -> None:
    setting, voice = draft.setting, draft.setting.voice
    tale = choose(setting)
    giver = bind_quest(setting, tale)
    reference = setting.scene.decision.reference
    if not opening:
        echo(draft)
        draft.add("{weather}")
        places.come_upon(draft)
    if setting.has_met(giver):
        draft.say(*_MEETING_AGAIN)
    else:
        draft.say(*_MEETING)
    draft.say(tale.offer)
    tasks = [voice.expand(stage.task) for stage in tale.stages]
    if reference:
        voice.bind(reference=place_name(reference))
        draft.say(*_LED_BACK)
        tasks.insert(len(tasks) - 1, REFERENCE + voice.value("reference"))
        draft.poi = draft.poi or {"action": "reference", "name": reference.name}
    draft.say(*_PLEADING)
    draft.mood = "curious"
    draft.quest = {
        "action": "offer",
        "quest_title": tale.title,
        "quest_summary": voice.expand(tale.summary.replace("{giver}", "{giver_full}")),
        "quest_details": {
            "requirements": tasks,
            "rewards": {
                "items": list(tale.items),
                "currency": [{"name": "gold", "amount": tale.gold}],
                "experience": tale.experience,
            },
        },
    }


def accept(draft: Draft) -> None:
    """The player says yes; the quest is theirs already."""
    echo(draft)
    draft.say(*_SETTING_OUT)
    draft.say(*_READY)
    draft.add(*_DEPARTURE)
    draft.mood = "determined"


def refuse(draft: Draft) -> None:
    echo(draft)
    draft.say(*_REFUSED)
    draft.say(
        "{Weather} [There are other things in the world|The world has more than one door]:"
        " {other}, for one. What would you rather do?"
    )
    draft.mood = "reluctant"
    draft.quest = {"action": "abandon"}


def give_up(draft: Draft) -> None:
    echo(draft)
    draft.say(*_GIVEN_UP)
    draft.say("{Weather} Your hands are free. [What do you do with them?|Where now?]")
    draft.mood = "weary"
    draft.quest = {"action": "abandon"}


def advance(draft: Draft, errand: Errand) -> None:
    """Tell the stage that comes next; the last one is the finale."""
    setting, voice = draft.setting, draft.setting.voice
    stage = setting.stage_of(errand)
    echo(draft)
    draft.add(*(_NOT_YET if setting.reading.deed == "attack" else _ON_THE_WAY))
    _tell_stage(draft, errand)
    if stage:
        draft.move_to(voice.expand(stage.where))
    draft.mood = "determined"
    if errand.is_last:
        _reward(draft, errand)
        return
    done = voice.expand(stage.done) if stage else "done"
    draft.quest = {"action": "advance", "progress_update": f"{errand.task}: {done}"}
    foe = setting.foe_of(errand.tale)
    if stage and stage.fight and foe:
        combat.start(draft, foe)
        return
    following = errand.tasks[errand.stage + 1]
    voice.bind(next_task=following[:1].lower() + following[1:])
    draft.say(*_NEXT)


def _tell_stage(draft: Draft, errand: Errand) -> None:
    stage = draft.setting.stage_of(errand)
    if stage:
        draft.say(stage.telling)
    elif errand.task.startswith(REFERENCE):
        draft.setting.voice.bind(reference=errand.task.removeprefix(REFERENCE))
        draft.say(*_BACK_TO_REFERENCE)
        draft.poi = {"action": "reference", "name": draft.setting.voice.value("reference")}
    elif errand.is_last:
        draft.say(*_PLAIN_FINALES)
    else:
        draft.say(*_PLAIN_STAGES)


def _reward(draft: Draft, errand: Errand) -> None:
    if errand.tale:
        items = [
            item[:1].lower() + item[1:] if item.startswith(("A ", "An ")) else item
            for item in errand.tale.items
        ]
        draft.setting.voice.bind(treasure=joined([*items, f"{errand.tale.gold} pieces of gold"]))
        draft.say(*_REWARDS)
    else:
        draft.say(*_PLAIN_REWARDS)
    draft.say(*_AFTERWARDS)
    draft.mood = "triumphant"
    draft.quest = {"action": "complete", "progress_update": f"{capital(errand.task)}: done"}
