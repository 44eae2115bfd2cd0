"""Puts the service together; the only place where adapters are chosen."""

from app.bootstrap.archives import add_character, forget_user, read_character
from app.bootstrap.builder import Application, Builder, build
from app.bootstrap.doctor import patient
from app.bootstrap.offline import documents, inspector, move_to_postgres, offline_event_log
from app.bootstrap.settings import Settings, load_settings, unknown_names

__all__ = [
    "Application",
    "Builder",
    "Settings",
    "add_character",
    "build",
    "documents",
    "forget_user",
    "inspector",
    "load_settings",
    "move_to_postgres",
    "offline_event_log",
    "patient",
    "read_character",
    "unknown_names",
]
