"""Seeded choices. Nothing is stored between turns, so what must stay the same is derived again."""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

from app.core.prompt import Scene

T = TypeVar("T")


def turn_rng(scene: Scene, seed: str) -> random.Random:
    """The generator of one turn: another action or another turn gives other choices."""
    turn = f"{seed}:{scene.context.character_id}:{scene.progress.turns}:{scene.user_action}"
    again = f":{scene.retelling}" if scene.retelling is not None else ""
    return random.Random(_digest(turn + again))


def stable_choice(scene: Scene, what: str, options: Sequence[T]) -> T:
    """The same choice for a character on every turn."""
    return options[_digest(f"{scene.context.character_id}:{what}") % len(options)]


def stable_shuffle(scene: Scene, deck: list[T]) -> None:
    """Shuffle in place, the same way on every turn of a character."""
    random.Random(_digest(f"{scene.context.character_id}:deck")).shuffle(deck)


def _digest(key: str) -> int:
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest, "big")
