"""Other people's front ends: the paths that AG-UI, AI SDK and OpenAI clients call."""
