"""Language models behind OpenAI's APIs: Responses and Chat Completions, of OpenAI or anybody else."""

from app.adapters.openai.model import OpenAIModel

__all__ = ["OpenAIModel"]
