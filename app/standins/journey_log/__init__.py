"""The journey-log service kept in this process: the same HTTP contract on one SQLite file."""

from .service import EmbeddedJourneyLog

__all__ = ["EmbeddedJourneyLog"]
