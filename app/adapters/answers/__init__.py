"""Answers that may be given again, in memory and in Redis."""
