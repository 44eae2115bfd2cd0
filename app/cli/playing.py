"""One turn from a terminal, on a running server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable

from app.client import Refused, SyncClient, Unreachable
from app.core.wire import TurnEvent
from app.settings import SharedSettings

TOKEN = "DUNGEON_MASTER_TOKEN"  # noqa: S105  (the name of a variable)


def run(settings: SharedSettings, options: argparse.Namespace) -> int:
    """The command: 0 where the turn was completed."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = options.url or f"http://{host}:{settings.port}"
    try:
        with SyncClient(url, token=os.environ.get(TOKEN), user=options.user) as service:
            character = options.character or _latest(service)
            return _shown(service.turn(character, options.action))
    except (Refused, Unreachable) as error:
        print(f"dungeon-master: {error}", file=sys.stderr)
        return 1


def _latest(service: SyncClient) -> str:
    characters = service.characters()
    if characters:
        return str(characters[0]["character_id"])
    made = service.create_character("Maren Ashdown", "human", "ranger")
    print(made["narrative"], end="\n\n")
    return str(made["character_id"])


def _shown(events: Iterable[TurnEvent]) -> int:
    for event in events:
        match event["type"]:
            case "token":
                print(event["content"], end="", flush=True)
            case "complete":
                print()
                return 0
            case "error":
                print(f"\ndungeon-master: {event['message']}", file=sys.stderr)
            case "cancelled":
                print("\ndungeon-master: the turn was cancelled", file=sys.stderr)
    return 1
