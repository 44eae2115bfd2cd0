"""Composing a turn: what happens is decided from the scene alone, and written by other modules."""

from typing import Any, Final

from app.core.prompt import Scene
from app.standins.storyteller import combat, places, quests, scenes
from app.standins.storyteller.draft import Draft
from app.standins.storyteller.library import Library, library
from app.standins.storyteller.schema import ActionKind, QuestScript
from app.standins.storyteller.setting import ActiveQuest, Setting, read_setting

AMBUSH: Final = 0.12
EAGER: Final = 0.35
REFUSABLE: Final = 2
"""Turns after its offer in which a quest can be refused, if it has not advanced."""
_CLOSED: Final[frozenset[ActionKind]] = frozenset(
    ["help", "refuse", "leave", "flee", "abandon", "surrender", "inventory", "nonsense"]
)
"""Actions that neither get a quest offered nor advance it."""


def compose(scene: Scene, seed: str, texts: Library | None = None) -> dict[str, Any]:
    """The outcome of a turn, narrative first. The same scene and seed give the same turn."""
    setting = read_setting(texts or library(), scene, seed)
    draft = Draft(setting)
    _write(draft, setting)
    draft.fill()
    return draft.document()


def _write(draft: Draft, setting: Setting) -> None:
    context = setting.scene.context
    fight, quest = context.active_combat, setting.quest
    if context.is_dead:
        scenes.mourn(draft)
    elif setting.scene.opening:
        _open(draft, setting)
    elif fight:
        combat.go_on(draft, fight)
    elif setting.action.kind == "attack" and not _is_fight_ahead(setting):
        draft.echo()
        combat.start(draft, combat.intended_foe(setting), struck=True)
    elif quest and _follow_quest(draft, setting, quest):
        pass
    elif (script := _script_to_offer(setting)) is not None and _is_offer_welcome(setting):
        quests.offer(draft, script)
    else:
        _explore(draft, setting)


def _open(draft: Draft, setting: Setting) -> None:
    scenes.opening(draft)
    script = _script_to_offer(setting)
    if script is not None:
        quests.offer(draft, script, opening=True)
    else:
        scenes.first_choice(draft)


def _follow_quest(draft: Draft, setting: Setting, quest: ActiveQuest) -> bool:
    """Write the turn if it belongs to the quest."""
    kind = setting.action.kind
    untouched = not setting.scene.progress.quest_progress
    if kind == "abandon":
        quests.give_up(draft)
    elif kind == "refuse" and untouched and _since_offer(setting) <= REFUSABLE:
        quests.refuse(draft)
    elif kind == "accept" and untouched and not _since_offer(setting):
        quests.accept(draft)
    elif kind == "talk" and setting.asks_somebody_else:
        return False
    elif _is_open(setting) and kind != "rest" and _is_stage_due(setting, quest):
        quests.advance(draft, quest)
    else:
        return False
    return True


def _script_to_offer(setting: Setting) -> QuestScript | None:
    """A quest where policy allows one, and there is one that was not just played."""
    if not setting.scene.decision.quest.passed or setting.quest is not None:
        return None
    return quests.choose(setting)


def _is_offer_welcome(setting: Setting) -> bool:
    return _is_open(setting) and setting.action.kind != "magic"


def _is_open(setting: Setting) -> bool:
    return setting.action.kind not in _CLOSED


def _since_offer(setting: Setting) -> int:
    """Turns since the quest was offered; an unknown number counts as many."""
    since = setting.scene.progress.since_quest
    return 1_000 if since is None else since


def _is_stage_due(setting: Setting, quest: ActiveQuest) -> bool:
    """A stage about every second turn; turns of fighting or idling are caught up on."""
    if quest.is_last and setting.action.kind == "other" and setting.action.text.isascii():
        return False
    if setting.scene.progress.since_quest is None:
        return setting.scene.progress.turns % 2 == 0
    # Looking about and talking may be about something else.
    patience = 1 if setting.action.kind in ("look", "talk", "take", "other") else 0
    due = 2 * quest.stage + patience
    return (
        _is_fight_ahead(setting) or _since_offer(setting) >= due or setting.narrator.chance(EAGER)
    )


def _is_fight_ahead(setting: Setting) -> bool:
    """Whether an attack now is the fight of the quest's next stage."""
    stage = setting.stage_of(setting.quest) if setting.quest else None
    return setting.action.kind == "attack" and stage is not None and stage.fight


def _explore(draft: Draft, setting: Setting) -> None:
    if _is_ambush(setting):
        draft.echo()
        combat.start(draft, combat.intended_foe(setting))
        return
    scenes.respond(draft)
    places.come_upon(draft)
    draft.lengthen()
    scenes.hook(draft)


def _is_ambush(setting: Setting) -> bool:
    scene = setting.scene
    return (
        setting.action.kind in ("move", "look", "other")
        and scene.context.player_state.status == "Healthy"
        and scene.progress.turns > 2
        and not any(foe.name in "".join(setting.history[-3:]) for foe in setting.world.foes)
        and setting.narrator.chance(AMBUSH)
    )
