"""What happens this turn: decided from the scene alone, told by the other modules."""

from __future__ import annotations

from typing import Any, Final

from app.core.prompt import Scene
from app.standins.storyteller import combat, places, quests, wander
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.echoes import echo
from app.standins.storyteller.setting import Errand, Setting, read_setting
from app.standins.storyteller.words import Deed

AMBUSH: Final = 0.12
EAGER: Final = 0.35
_IDLE: Final[frozenset[Deed]] = frozenset({"help", "rest", "refuse", "leave", "flee", "abandon"})


def compose(scene: Scene, seed: str) -> dict[str, Any]:
    """The whole outcome of a turn, narrative first. The same scene and seed give the same turn."""
    setting = read_setting(scene, seed)
    draft = Draft(setting)
    _tell(draft, setting)
    draft.fill()
    return draft.document()


def _tell(draft: Draft, setting: Setting) -> None:
    context = setting.scene.context
    fight, errand = context.active_combat, setting.errand
    if context.is_dead:
        wander.elegy(draft)
    elif setting.scene.opening:
        _open(draft, setting)
    elif fight:
        combat.go_on(draft, fight)
    elif setting.reading.deed == "attack" and not _is_fight_ahead(setting):
        echo(draft)
        combat.start(draft, combat.foe_meant(setting), struck=True)
    elif errand and _on_errand(draft, setting, errand):
        pass
    elif setting.scene.decision.quest.passed and errand is None:
        quests.offer(draft)
    else:
        _wander(draft, setting)


def _open(draft: Draft, setting: Setting) -> None:
    wander.opening(draft)
    if setting.scene.decision.quest.passed and setting.errand is None:
        quests.offer(draft, opening=True)
    else:
        wander.first_choice(draft)


def _on_errand(draft: Draft, setting: Setting, errand: Errand) -> bool:
    """Tell the turn if it belongs to the quest."""
    deed = setting.reading.deed
    just_offered = not setting.scene.progress.quest_progress and not _since_offer(setting)
    if deed == "abandon":
        quests.give_up(draft)
    elif deed == "refuse" and just_offered:
        quests.refuse(draft)
    elif deed == "accept" and just_offered:
        quests.accept(draft)
    elif deed not in _IDLE and _is_due(setting, errand):
        quests.advance(draft, errand)
    else:
        return False
    return True


def _since_offer(setting: Setting) -> int:
    """Turns since the quest was offered; one that is older than our counting is long ago."""
    since = setting.scene.progress.since_quest
    return 1_000 if since is None else since


def _is_due(setting: Setting, errand: Errand) -> bool:
    """A stage about every second turn; turns spent fighting or idling are caught up on."""
    if setting.scene.progress.since_quest is None:
        return setting.scene.progress.turns % 2 == 0
    # Looking about and talking may be about something else.
    patience = 1 if setting.reading.deed in ("look", "talk", "take", "other") else 0
    due = 2 * errand.stage + patience
    return _is_fight_ahead(setting) or _since_offer(setting) >= due or setting.voice.chance(EAGER)


def _is_fight_ahead(setting: Setting) -> bool:
    """Whether an attack now is the fight that the quest has in store."""
    stage = setting.stage_of(setting.errand) if setting.errand else None
    return setting.reading.deed == "attack" and stage is not None and stage.fight


def _wander(draft: Draft, setting: Setting) -> None:
    if _is_ambush(setting):
        echo(draft)
        combat.start(draft, combat.foe_meant(setting))
        return
    wander.respond(draft)
    places.come_upon(draft)
    draft.lengthen()
    wander.hook(draft)


def _is_ambush(setting: Setting) -> bool:
    scene = setting.scene
    return (
        setting.reading.deed in ("move", "look", "other")
        and scene.context.player_state.status == "Healthy"
        and scene.progress.turns > 2
        and not any(foe.name in "".join(setting.told[-3:]) for foe in setting.world.foes)
        and setting.voice.chance(AMBUSH)
    )
