"""Journeys of a character that the offline storyteller tells, without a service around it."""

import json
from dataclasses import dataclass, field
from typing import Any

from app.core.context import (
    CharacterProgress,
    Combat,
    CombatView,
    Context,
    Identity,
    Location,
    Narrative,
    PastTurn,
    Place,
    PlayerState,
    Quest,
    Status,
)
from app.core.context import World as Surroundings
from app.core.intents import normalize
from app.core.outcome import DungeonMasterOutcome, parse_outcome
from app.core.policy import PolicyConfig, PolicyDecision, PolicyEngine, Roll
from app.core.prompt import Scene
from app.core.writes import PlannedWrite, place_to_create, plan_writes
from app.standins.storyteller import compose

Json = dict[str, Any]
ALWAYS = PolicyConfig(
    quest_trigger_prob=1,
    quest_cooldown_turns=0,
    poi_trigger_prob=1,
    memory_spark_probability=1,
)
NEVER = PolicyDecision(Roll(False, False), Roll(False, False))


def a_context(
    *,
    character_id: str = "6f1c1f5e-0000-4000-8000-000000000001",
    identity: Identity | None = None,
    status: Status = "Healthy",
    location: Location | None = None,
    **parts: Any,
) -> Context:
    player = PlayerState(
        identity=identity or Identity(name="Kestrel", race="Half-Elf", class_name="Ranger"),
        status=status,
        location=location or Location(id="origin:nexus", display_name="The Nexus"),
    )
    return Context(character_id=character_id, player_state=player, **parts)


def a_scene(action: str = "I look around", **parts: Any) -> Scene:
    context = parts.pop("context", None) or a_context()
    return Scene(
        context=context,
        progress=parts.pop("progress", CharacterProgress(turns=3)),
        decision=parts.pop("decision", NEVER),
        sparks=parts.pop("sparks", ()),
        user_action=action,
        **parts,
    )


@dataclass
class Journey:
    """A journey-log by hand: plays turns and applies what each of them writes."""

    context: Context = field(default_factory=a_context)
    config: PolicyConfig = ALWAYS
    seed: str = "journey"
    progress: CharacterProgress = field(default_factory=CharacterProgress)
    pois: list[Place] = field(default_factory=list)
    narratives: list[str] = field(default_factory=list)
    outcomes: list[DungeonMasterOutcome] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def play(self, action: str, *, opening: bool = False) -> DungeonMasterOutcome:
        sparks = self.pois[-1:]
        decision = PolicyEngine(self.seed).decide(
            self.config, self.context, self.progress, sparks, now=0
        )
        scene = Scene(self.context, self.progress, decision, sparks, action, opening)
        outcome = parse_outcome(json.dumps(compose(scene, self.seed), ensure_ascii=False))
        intents = normalize(outcome.intents, decision, self.context, self.progress)
        place = place_to_create(intents)
        known = place in [poi.name.casefold() for poi in self.pois]
        plan = plan_writes(
            user_action=action,
            narrative=outcome.narrative,
            intents=intents,
            decision=decision,
            context=self.context,
            known_place=known,
            marker=1_000_000 * len(self.narratives),
            turn_id=f"{self.seed} {len(self.narratives)}",
        )
        quest, combat, poi = intents.quest_intent, intents.combat_intent, intents.poi_intent
        assert quest
        assert combat
        assert poi
        self.changes += [
            f"{what} {part.action}"
            for what, part in (("quest", quest), ("combat", combat), ("poi", poi))
            if part.action != "none"
        ]
        wished = {part.action for part in (quest, combat, poi)} - {"none", "reference", "advance"}
        assert len(plan.writes) == len(wished) + 1 - known, "every change asked for is written"
        for write in plan.writes:
            self._apply(write)
        self._stand(outcome)
        self.narratives.append(outcome.narrative)
        self.outcomes.append(outcome)
        return outcome

    def _apply(self, write: PlannedWrite) -> None:
        body = write.body or {}
        update: Json = {}
        match write.subsystem:
            case "quest":
                update = {"quest": Quest.model_validate(body) if body else None}
            case "combat":
                state = body["combat_state"]
                combat = Combat.model_validate(state) if state else None
                update = {"combat": CombatView(active=bool(state), state=combat)}
            case "poi":
                place = Place(name=body["name"], description=body["description"])
                assert place.name not in [known.name for known in self.pois]
                self.pois.append(place)
                update = {"world": Surroundings(pois_sample=self.pois[-3:])}
            case "narrative":
                turn = PastTurn(player_action=body["user_action"], gm_response=body["ai_response"])
                turns = [*self.context.narrative.recent_turns, turn][-20:]
                update = {"narrative": Narrative(recent_turns=turns)}
        self.context = self.context.model_copy(update=update)

    def _stand(self, outcome: DungeonMasterOutcome) -> None:
        quest, poi = outcome.intents.quest_intent, outcome.intents.poi_intent
        where = outcome.intents.location_intent
        assert quest
        assert poi
        assert where
        old = self.progress
        progress = old.quest_progress
        if quest.action in ("offer", "complete", "abandon"):
            progress = []
        elif quest.action == "advance":
            progress = [*progress, quest.progress_update or ""]
        minor = old.minor_location
        if where.action != "none":
            minor = where.minor_location
        self.progress = CharacterProgress(
            turns=old.turns + 1,
            since_quest=_since(old.since_quest, quest.action == "offer"),
            since_poi=_since(old.since_poi, poi.action == "create"),
            minor_location=minor,
            quest_progress=progress,
        )


def _since(turns: int | None, now: bool) -> int | None:
    if now:
        return 0
    return None if turns is None else turns + 1
