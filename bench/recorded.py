"""Twelve scenes of a game, each with the answer that was recorded for it.

scenes.json holds them as journey-log and the policy give them. `answer` is what the offline storyteller
wrote while it spelled out each field of an outcome, as models did after the example in the prompts of
that time: intents that say `none`, and nulls. `short_answer` is the same story in the short form that
prompts ask for now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.context import CharacterProgress, Context
from app.core.policy import PolicyDecision, Roll
from app.core.prompt import Scene, build_prompt
from app.ports.call import CallMeta
from app.ports.model import ModelRequest
from app.standins.storyteller import Storyteller

_FILE: Final = Path(__file__).with_name("scenes.json")


@dataclass(frozen=True)
class Recorded:
    """`seed`: of the storyteller."""

    name: str
    scene: Scene
    seed: str
    answer: str
    short_answer: str

    @property
    def narrative(self) -> str:
        return str(json.loads(self.answer)["narrative"])

    async def present(self) -> str:
        """What the storyteller writes for the scene now."""
        request = ModelRequest(build_prompt(self.scene), CallMeta("bench"))
        text, _ = await Storyteller(0, self.seed).complete(request)
        return text


def scenes() -> dict[str, Recorded]:
    """By name."""
    return {row["name"]: _recorded(row) for row in json.loads(_FILE.read_text())}


def _recorded(row: dict[str, Any]) -> Recorded:
    quest, poi = (Roll(True, row["policy"][name]) for name in ("quest", "poi"))
    scene = Scene(
        Context.model_validate(row["context"]),
        CharacterProgress.model_validate(row["progress"]),
        PolicyDecision(quest, poi),
        (),
        row["user_action"],
        row["opening"],
    )
    return Recorded(row["name"], scene, row["seed"], row["answer"], row["short_answer"])
