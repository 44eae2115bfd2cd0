"""Fights: how they start, go on for a few turns, and end."""

import re

from app.core.context import Combat
from app.standins.storyteller.chance import stable_choice
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.library import Library
from app.standins.storyteller.player import MAX_NAME
from app.standins.storyteller.schema import Foe
from app.standins.storyteller.setting import Setting
from app.standins.storyteller.text import cleaned, joined, with_article, within

_ANSWERED = frozenset({"attack", "talk", "look", "use", "rest"})
_CARELESS = frozenset({"rest", "inventory", "nonsense", "refuse"})
_RISK = {"low": 0.15, "medium": 0.25, "high": 0.4}
_FIGHTING = frozenset({"attack", "use", "magic"})
PASSIVE_RISK = 0.25
WOUNDED_RISK = 0.15
LOSS_PER_WOUND = 0.35
LOSS_OF_QUEST = 0.4


def start(draft: Draft, foe: Foe, *, struck: bool = False) -> None:
    """One to three of a kind appear, or the one that the player attacked (`struck`)."""
    narrator = draft.setting.narrator
    most = 1 if struck else 3 if foe.threat == "low" else 2
    count = narrator.pick(range(1, most + 1))
    names = [f"{epithet} {foe.name}" for epithet in foe.epithets[:count]]
    if count == 1:
        names = [foe.name]
    narrator.bind(foe=f"the {names[0]}", foe_kind=names[0])
    if struck:
        draft.add("combat.struck_first")
    draft.say_any(foe.arrivals + draft.setting.phrase("combat.arrivals"))
    if count > 1:
        others = joined([with_article(f"{epithet} one") for epithet in foe.epithets[1:count]])
        narrator.bind(others=others)
        draft.add("combat.company")
    draft.say("combat.stance")
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
    """The next turn of a fight: another exchange, victory, defeat, surrender or flight."""
    foe = _bind_enemies(draft.setting, combat)
    draft.pacing = "fast"
    kind = draft.setting.action.kind
    if kind in ("flee", "leave"):
        _flee(draft)
    elif kind in ("surrender", "abandon"):
        _surrender(draft)
    elif combat.turn < _length(draft.setting, combat):
        _exchange(draft, foe, combat)
    elif _is_lost(draft.setting, combat):
        _lose(draft, foe)
    else:
        _win(draft, foe, combat)


def intended_foe(setting: Setting) -> Foe:
    """The foe that the player names, else the quest's, else any."""
    for foe in setting.world.foes:
        if foe.name in setting.action.text or foe.name.split()[-1] in setting.action.text:
            return foe
    by_chance = setting.narrator.pick(setting.world.foes)
    return setting.foe_of(setting.quest.script if setting.quest else None) or by_chance


def _length(setting: Setting, combat: Combat) -> int:
    """The combat turn on which it ends: three turns in all, or four against several."""
    several = len(combat.enemies) > 1
    return stable_choice(setting.scene, combat.combat_id, (2, 3)) if several else 2


def _is_hurt(setting: Setting, foe: Foe | None) -> bool:
    """Whether the enemy hits in this exchange. Who does not defend themselves is hit."""
    kind = setting.action.kind
    risk = _RISK[foe.threat if foe else "medium"] + WOUNDED_RISK * setting.is_wounded
    risk += PASSIVE_RISK * (kind not in _FIGHTING)
    return kind in _CARELESS or setting.narrator.chance(risk)


def _is_lost(setting: Setting, combat: Combat) -> bool:
    wounds = setting.wounds(combat.turn)
    return setting.action.kind in _CARELESS or setting.narrator.chance(LOSS_PER_WOUND * wounds)


def _answer(setting: Setting) -> str:
    kind = setting.action.kind
    if kind == "magic" and not setting.casts_magic:
        return "combat.answer_fizzle"
    if kind in _CARELESS - _ANSWERED:
        return "combat.answer_careless"
    return f"combat.answer_{kind}" if kind in _ANSWERED | {"magic"} else "combat.answer_other"


def _bind_enemies(setting: Setting, combat: Combat) -> Foe | None:
    """Bind the enemies' names; the first one's foe, or None for a stranger to the data files."""
    library = setting.library
    names = [_name(library, enemy.name) for enemy in combat.enemies[:5]] or ["your enemy"]
    setting.narrator.bind(foe=names[0], helpers=joined(names[1:] or ["nobody else"]))
    return library.foe_named(combat.enemies[0].name) if combat.enemies else None


def _name(library: Library, name: str) -> str:
    text = cleaned(name, MAX_NAME) or "the nameless one"
    if library.foe_named(name):
        text = text.lower()
    return within(text) if re.match(r"(?i)the ", text) else f"the {text}"


def _exchange(draft: Draft, foe: Foe | None, combat: Combat) -> None:
    setting, kind = draft.setting, draft.setting.action.kind
    strikes = setting.phrase("combat.strikes")
    falters = setting.phrase("combat.falters")
    draft.echo()
    draft.add(_answer(setting))
    if combat.turn < 2:
        draft.say_any(foe.strikes + strikes if foe else strikes)
    else:
        draft.say_any(foe.falters + falters if foe else falters)
        if foe:
            setting.narrator.bind(foe=f"the {foe.name}")
        draft.add_any(foe.strikes + strikes if foe else strikes, needed=False)
    if _is_hurt(setting, foe):
        draft.add("combat.hurt")
    if len(combat.enemies) > 1:
        draft.add("combat.circling" if combat.turn < 2 else "combat.dropping")
    draft.guidance = kind == "help"
    draft.say("combat.advice" if draft.guidance else "combat.choices")
    draft.mood = "fierce" if kind == "attack" else "tense"
    draft.combat = {
        "action": "continue",
        "enemies": _hit(combat, struck=kind == "attack"),
        "combat_notes": f"Turn {combat.turn + 1} against {setting.narrator.value('foe')}.",
    }


def _hit(combat: Combat, *, struck: bool) -> list[dict[str, str]] | None:
    """As the phrases have it: who was struck reels; later that one falters and the rest are down."""
    late = combat.turn >= 2
    hit = combat.enemies[:5] if late else combat.enemies[:1] if struck else []
    return [
        {"name": enemy.name, "description": "", "threat": "down" if number else "wounded"}
        for number, enemy in enumerate(hit)
    ] or None


def _win(draft: Draft, foe: Foe | None, combat: Combat) -> None:
    setting = draft.setting
    draft.echo()
    draft.add("combat.finishing")
    ends = setting.phrase("combat.ends")
    draft.say_any(foe.ends + ends if foe else ends)
    if len(combat.enemies) > 1 and combat.turn < 3:  # later, they are down already
        draft.add("combat.helpers_gone")
    draft.say("combat.quiet")
    if setting.is_wounded:
        draft.add("combat.old_wound")
    draft.add("combat.back_to_quest" if setting.quest else "combat.way_open")
    draft.mood, draft.pacing = "relieved", "normal"
    draft.combat = {
        "action": "end",
        "combat_notes": f"{setting.narrator.expand('{Foe}')} is beaten.",
    }


def _lose(draft: Draft, foe: Foe | None) -> None:
    """Defeat costs blood, time and ground, and the quest that it was fought for; never the character."""
    draft.echo()
    draft.add("combat.losing")
    draft.add("combat.hurt")
    draft.say("combat.beaten")
    if _costs_quest(draft.setting, foe):
        draft.say("quest.lost")
        draft.quest = {"action": "abandon"}
    elif draft.setting.quest:
        draft.add("combat.quest_remains")
    _end_elsewhere(draft, "beaten", "You were beaten.")


def _costs_quest(setting: Setting, foe: Foe | None) -> bool:
    """Whether a stage of the quest has led to this foe, and the defeat is the end of it."""
    quest = setting.quest
    if quest is None or quest.script is None or foe != setting.foe_of(quest.script):
        return False
    is_at_stake = any(stage.fight for stage in quest.script.stages[: quest.stage])
    careless = setting.action.kind in _CARELESS
    return is_at_stake and (careless or setting.narrator.chance(LOSS_OF_QUEST))


def _surrender(draft: Draft) -> None:
    draft.echo()
    draft.add("combat.surrendered")
    draft.say("combat.mercy")
    _end_elsewhere(draft, "humbled", "You surrendered.")


def _flee(draft: Draft) -> None:
    draft.echo()
    draft.say("combat.flight")
    draft.say("combat.refuge")
    _end_elsewhere(draft, "shaken", "You got away.")


def _end_elsewhere(draft: Draft, mood: str, notes: str) -> None:
    draft.move_to(draft.setting.narrator.value("other"))
    draft.mood = mood
    draft.combat = {"action": "end", "combat_notes": notes}
