"""The offline storyteller: the model that is there when no other is configured."""

from app.standins.storyteller.tale import compose
from app.standins.storyteller.teller import Storyteller

__all__ = ["Storyteller", "compose"]
