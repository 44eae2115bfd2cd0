"""Language models behind OpenAI's APIs: Responses and Chat Completions, of OpenAI or anybody else."""
