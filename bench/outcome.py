"""The document that the bench's model streams, and how it is cut into tokens.

`TURN` is what is measured unless a measurement says otherwise: 469 tokens of four characters, of
which 288 carry narrative. It has what makes reading half a document hard: quotes, line breaks,
backslashes, characters of more than one byte; and an intent for each of the four writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, islice
from typing import Final

_PROSE: Final = (
    "The stair ends in water, black and still, and your lantern finds the far wall before it finds"
    ' the floor. Something has tied a rope there, knot upon knot, for longer than rope lasts. "Count'
    ' the knots," says Brünhild, who has not looked up, "and tell me if it is nine." It is ten. You'
    " feel along the last one and it is warm \u2014 newly made, pulled tight by hands the size of"
    " yours.\n\nBehind you the door that was a door is a painting of a door. The hinges are very good."
    " Scratched under them, in the thieves' cant you learned at the docks: left\\right\\left, then"
    " breathe. The water moves once, as a sleeper turns over, and settles.\n\n"
)

_INTENTS: Final = {
    "quest_intent": {
        "action": "offer",
        "quest_title": "The Tenth Knot",
        "quest_summary": "Find out who ties the rope, and what it holds down.",
        "quest_details": {
            "requirements": ["Follow the rope down"],
            "rewards": {"items": ["A bone fid"], "currency": [], "experience": 120},
        },
    },
    "combat_intent": {
        "action": "start",
        "enemies": [
            {"name": "Drowned Rigger", "description": "Made of silt.", "threat": "high"},
            {"name": "Lamp Eel", "description": None, "threat": "low"},
        ],
        "combat_notes": "They stay in water.",
    },
    "poi_intent": {
        "action": "create",
        "name": "The Knotted Stair",
        "description": "A stair into black water, with a rope.",
        "reference_tags": ["water", "rope"],
    },
    "meta": {"player_mood": "wary", "pacing_hint": "slow", "user_is_wandering": False},
}

_OPENING: Final = '{"narrative":"'
_CLOSING: Final = f'","intents":{json.dumps(_INTENTS, separators=(",", ":"))}}}'


@dataclass(frozen=True)
class Story:
    text: str
    narrative: str
    tokens: tuple[str, ...]

    @property
    def narrative_tokens(self) -> int:
        """How many tokens hold something of the narrative."""
        begin, end = len(_OPENING), len(self.text) - len(_CLOSING)
        ends = list(accumulate(len(token) for token in self.tokens))
        starts = [0, *ends]
        return sum(start < end and stop > begin for start, stop in zip(starts, ends, strict=False))


def story(tokens: int, sizes: Sequence[int] = (4,), field: str = "narrative") -> Story:
    """So many tokens: the narrative in pieces of these sizes in turn, the intents in fours. `field`: the
    name of the narrative."""
    opening = _OPENING.replace("narrative", field)
    intents = _cut(_CLOSING, (4,))
    room = sum(islice(cycle(sizes), tokens - len(intents))) - len(opening)
    prose = json.dumps(_PROSE, ensure_ascii=False)[1:-1]
    filled = (prose * (room // len(prose) + 1))[: room - 1].rstrip("\\").ljust(room, ".")
    text = f"{opening}{filled}{_CLOSING}"
    pieces = (*_cut(opening + filled, sizes), *intents)
    return Story(text, json.loads(text)[field], pieces)


def _cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, at, lengths = [], 0, cycle(sizes)
    while at < len(text):
        size = next(lengths)
        pieces.append(text[at : at + size])
        at += size
    return pieces


TURN: Final = story(469)
