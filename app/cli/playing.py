"""Turns from a terminal, on a running server: one (`turn`), those of others (`watch`), a game (`play`)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from typing import Final

from app.cli.game import Game
from app.cli.output import complain
from app.cli.remote import FIRST_CHARACTER, latest_character, with_server
from app.client import Refused, SyncClient
from app.core.wire import TurnEvent
from app.settings import SharedSettings

NOT_FOUND: Final = 404


def take_turn(settings: SharedSettings, options: argparse.Namespace) -> int:
    """0 where the turn was completed."""

    def work(service: SyncClient) -> int:
        character = options.character or _latest(service, quiet=options.json)
        return _printed(service.turn(character, options.action), as_json=options.json)

    return with_server(settings, options, work)


def watch(settings: SharedSettings, options: argparse.Namespace) -> int:
    """0 where the turn was completed; a character is followed until it is interrupted."""

    def work(service: SyncClient) -> int:
        return _printed(_events(service, options.id), as_json=options.json)

    return with_server(settings, options, work)


def play(settings: SharedSettings, options: argparse.Namespace) -> int:
    """0 where the player left by themselves."""
    return with_server(settings, options, lambda service: Game(service).play(options.character))


def _events(service: SyncClient, name: str) -> Iterable[TurnEvent]:
    try:
        service.get_turn(name)
    except Refused as refused:
        if refused.status != NOT_FOUND:
            raise
        return service.follow(name)
    return service.events(name)


def _latest(service: SyncClient, *, quiet: bool) -> str:
    found = latest_character(service)
    if found is None:
        found = service.create_character(*FIRST_CHARACTER)
        if not quiet:
            print(found["narrative"], end="\n\n")
    return str(found["character_id"])


def _printed(events: Iterable[TurnEvent], *, as_json: bool) -> int:
    """The exit code by the last event."""
    show: Callable[[TurnEvent], None] = _print_json if as_json else _print_story
    code = 1
    for event in events:
        show(event)
        if event["type"] in ("complete", "error", "cancelled"):
            code = 0 if event["type"] == "complete" else 1
    return code


def _print_json(event: TurnEvent) -> None:
    print(json.dumps(event), flush=True)


def _print_story(event: TurnEvent) -> None:
    match event["type"]:
        case "token":
            print(event["content"], end="", flush=True)
        case "metadata" if event["phase"] == "retelling":
            print("\n\n---\n")
        case "complete":
            print()
        case "error":
            print()
            complain(event["message"])
        case "cancelled":
            print()
            complain("the turn was cancelled")
