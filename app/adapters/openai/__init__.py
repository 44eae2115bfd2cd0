"""Language models behind OpenAI's APIs: Responses and Chat Completions, of OpenAI or anybody else."""

from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.probing import ProbedOpenAIModel

__all__ = ["OpenAIModel", "ProbedOpenAIModel"]
