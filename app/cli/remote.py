"""The common parts of commands that ask a running server."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any, Final

from app.cli.output import complain
from app.client import Refused, SyncClient, Unreachable
from app.settings import SharedSettings

TOKEN: Final = "DUNGEON_MASTER_TOKEN"  # noqa: S105  (the name of a variable)
FIRST_CHARACTER: Final = ("Maren Ashdown", "human", "ranger")


def with_server(
    settings: SharedSettings, options: argparse.Namespace, work: Callable[[SyncClient], int]
) -> int:
    """The exit code of `work`, or 1 with one line on standard error where the server refuses."""
    try:
        with SyncClient(
            address_of(settings, options), token=token_of(), user=options.user
        ) as service:
            return work(service)
    except (Refused, Unreachable) as error:
        complain(str(error))
        return 1


def address_of(settings: SharedSettings, options: argparse.Namespace) -> str:
    """The server's, by `--url` or by its settings."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return options.url or f"http://{host}:{settings.port}"


def token_of() -> str | None:
    """The caller's, with AUTH_MODE=jwt."""
    return os.environ.get(TOKEN)


def latest_character(service: SyncClient) -> Any | None:
    """The one that was played last."""
    return next(iter(service.characters()), None)
