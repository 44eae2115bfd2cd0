"""Moderators, which judge whether a passage may be shown."""
