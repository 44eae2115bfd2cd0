"""`/v1`: OpenAI's Chat Completions and models."""
