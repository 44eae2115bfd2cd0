"""Content beside turns: characters' texts, stories, people, places, themes, validation."""
