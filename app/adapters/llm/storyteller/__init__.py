"""The offline storyteller: the model that is there when no other is configured."""

from app.adapters.llm.storyteller.tale import compose
from app.adapters.llm.storyteller.teller import Storyteller

__all__ = ["Storyteller", "compose"]
