"""The client of Redis."""
