"""Asks what the service depends on, and says what works and what to set."""
