"""Quests: the offer, the way through the requirements, the finale; refusing and giving up."""

import re

from app.standins.storyteller import combat, places
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.schema import QuestScript, Stage
from app.standins.storyteller.setting import REFERENCE, ActiveQuest, Setting, place_name
from app.standins.storyteller.text import capital, joined, uncapitalised


def offer(draft: Draft, script: QuestScript, *, opening: bool = False) -> None:
    setting = draft.setting
    giver = setting.bind_offer(script)
    if not opening:
        draft.echo()
        draft.add_any(("{weather}",), needed=False)
        places.come_upon(draft)
    draft.say("quest.meeting_again" if setting.has_met(giver) else "quest.meeting")
    draft.say_any((script.offer,))
    tasks = _tasks(draft, script)
    draft.say("quest.pleading")
    draft.mood = "curious"
    summary = script.summary.replace("{giver}", "{giver_full}")
    draft.quest = {
        "action": "offer",
        "quest_title": script.title,
        "quest_summary": setting.narrator.expand(summary),
        "quest_details": {
            "requirements": tasks,
            "rewards": {
                "items": list(script.items),
                "currency": [{"name": "gold", "amount": script.gold}],
                "experience": script.experience,
            },
        },
    }


def accept(draft: Draft) -> None:
    """The player says yes; the quest is active already."""
    draft.echo()
    draft.say("quest.setting_out")
    draft.say("quest.ready")
    draft.add("quest.departure")
    draft.mood = "determined"


def refuse(draft: Draft) -> None:
    draft.echo()
    draft.say("quest.refused")
    draft.say("quest.refused_choice")
    draft.mood = "reluctant"
    draft.quest = {"action": "abandon"}


def give_up(draft: Draft) -> None:
    draft.echo()
    draft.say("quest.given_up")
    draft.say("quest.given_up_choice")
    draft.mood = "weary"
    draft.quest = {"action": "abandon"}


def advance(draft: Draft, quest: ActiveQuest) -> None:
    """The next stage; the last one is the finale."""
    setting, narrator = draft.setting, draft.setting.narrator
    stage = setting.stage_of(quest)
    draft.echo()
    draft.add("quest.not_yet" if setting.action.kind == "attack" else "quest.on_the_way")
    _play_stage(draft, quest, stage)
    if stage:
        draft.move_to(narrator.expand(stage.where))
    draft.mood = "determined"
    if quest.is_last:
        _reward(draft, quest)
        return
    result = narrator.expand(stage.result) if stage else "done"
    draft.quest = {"action": "advance", "progress_update": f"{quest.task}: {result}"}
    foe = setting.foe_of(quest.script)
    if stage and stage.fight and foe:
        combat.start(draft, foe)
        return
    narrator.bind(next_task=uncapitalised(quest.tasks[quest.stage + 1]))
    draft.say("quest.next")


def choose(setting: Setting) -> QuestScript | None:
    """A quest that was not offered lately, if possible one of the person at hand; None without any."""
    past = "\n".join(setting.history)
    scripts = setting.library.quests_of(setting.world)
    fresh = [script for script in scripts if not _was_offered(script, past)]
    at_hand = [script for script in fresh if script.giver == setting.person.name]
    return setting.narrator.pick(at_hand or fresh) if fresh else None


def _was_offered(script: QuestScript, past: str) -> bool:
    """Whether `past` holds the offer or the finale, by its longest piece without placeholders."""
    texts = (script.offer, script.stages[-1].narrative)
    pieces = (re.split(r"\{\w+\}|\n", text) for text in texts)
    return any(max(some, key=len) in past for some in pieces)


def _tasks(draft: Draft, script: QuestScript) -> list[str]:
    """The requirements, and before the last one the remembered place that policy picked."""
    setting, narrator = draft.setting, draft.setting.narrator
    tasks = [narrator.expand(stage.task) for stage in script.stages]
    reference = setting.scene.decision.reference
    if reference:
        narrator.bind(reference=place_name(reference))
        draft.say("quest.led_back")
        tasks.insert(len(tasks) - 1, REFERENCE + narrator.value("reference"))
        draft.poi = draft.poi or {"action": "reference", "name": reference.name}
    return tasks


def _play_stage(draft: Draft, quest: ActiveQuest, stage: Stage | None) -> None:
    if stage:
        draft.say_any((stage.narrative,))
    elif quest.task.startswith(REFERENCE):
        place = quest.task.removeprefix(REFERENCE)
        draft.setting.narrator.bind(reference=place)
        draft.say("quest.back_to_reference")
        draft.poi = {"action": "reference", "name": place}
    else:
        draft.say("quest.plain_finales" if quest.is_last else "quest.plain_stages")


def _reward(draft: Draft, quest: ActiveQuest) -> None:
    if quest.script:
        items = [
            uncapitalised(item) if item.startswith(("A ", "An ")) else item
            for item in quest.script.items
        ]
        treasure = joined([*items, f"{quest.script.gold} pieces of gold"])
        draft.setting.narrator.bind(treasure=treasure)
    draft.say("quest.rewards" if quest.script else "quest.plain_rewards")
    draft.say("quest.afterwards")
    draft.mood = "triumphant"
    draft.quest = {"action": "complete", "progress_update": f"{capital(quest.task)}: done"}
