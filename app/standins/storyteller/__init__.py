"""The offline storyteller: the model that is there when no other is configured."""

from app.standins.storyteller.model import Storyteller
from app.standins.storyteller.tale import compose

__all__ = ["Storyteller", "compose"]
