"""A solo game in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from app.cli.output import complain
from app.cli.remote import FIRST_CHARACTER, latest_character
from app.client import Refused, SyncClient
from app.core.wire import TurnEvent

with suppress(ImportError):  # some builds of Python have none
    import readline  # noqa: F401  (gives `input` its editing and its history)

HELP: Final = """\
Write what your character does. Ctrl-C stops the story that is being written; nothing of it counts then.
/story  the story so far    /new  another character    /choose  ask before a turn counts, or not
/help  this    /quit (or Ctrl-D)  leave"""
FULL: Final = 100  # turns of a page of the story


class Game:
    """Reads actions from standard input and prints the story. Colours and line editing where the terminal
    has them; without one, each line of the input is an action."""

    def __init__(self, service: SyncClient) -> None:
        self._service = service
        self._character = ""
        self._manual = False  # turns await a commit
        self._tty = sys.stdin.isatty() and sys.stdout.isatty()
        self._colours = self._tty and "NO_COLOR" not in os.environ

    def play(self, character_id: str | None) -> int:
        """The exit code, once the player has left."""
        try:
            self._begin(character_id)
            while (line := self._asked("> ")) is not None:
                self._do(line.strip())
        except KeyboardInterrupt:
            self._aside("")
        return 0

    # -- what the player does ---------------------------------------------------------------------

    def _do(self, line: str) -> None:
        match line:
            case "":
                pass
            case "/quit":
                raise KeyboardInterrupt
            case "/help":
                self._aside(HELP)
            case "/story":
                self._story()
            case "/new":
                self._new()
            case "/choose":
                self._manual = not self._manual
                self._aside(f"You are {'' if self._manual else 'not '}asked before a turn counts.")
            case _ if line.startswith("/"):
                self._aside(f"There is no {line.split()[0]}. {HELP}")
            case _:
                self._turn(line)

    def _begin(self, character_id: str | None) -> None:
        self._aside(HELP)
        found = {"character_id": character_id} if character_id else latest_character(self._service)
        if found is None:
            self._new()
            return
        self._character = str(found["character_id"])
        self._resume()

    def _resume(self) -> None:
        """The last turn, or the rest of the one that runs."""
        turns = self._service.history(self._character, limit=1)["turns"]
        running = [turn for turn in turns if turn["status"] in ("queued", "running")]
        if running:
            self._show(self._service.events(running[0]["turn_id"]))
        else:
            self._print(turns)

    def _new(self) -> None:
        parts = self._named()
        try:
            made = self._service.create_character(*parts)
        except Refused as refused:
            if refused.type != "character_exists":
                raise
            self._character = str(refused.problem["error"]["character_id"])
            self._aside("There is one of this name: the story goes on.")
            self._resume()
        else:
            self._character = str(made["character_id"])
            print(made["narrative"], end="\n\n")

    def _named(self) -> list[str]:
        """Name, race and class."""
        usual = ", ".join(FIRST_CHARACTER)
        while True:
            line = self._asked(f"Name, race, class [{usual}]: ")
            parts = [part.strip() for part in (line or usual).split(",")]
            if len(parts) == len(FIRST_CHARACTER) and all(parts):
                return parts
            self._aside(f"Three words or names with commas between them, such as: {usual}")

    def _turn(self, action: str) -> None:
        try:
            self._show(self._service.turn(self._character, action, manual=self._manual))
        except Refused as refused:
            complain(str(refused))

    def _story(self) -> None:
        pages, before = [], None
        while True:
            page = self._service.history(self._character, limit=FULL, before=before)
            pages.append(page["turns"])
            before = page["next"]
            if before is None:
                break
        self._print([turn for page in pages for turn in page])

    # -- what they see ----------------------------------------------------------------------------

    def _show(self, events: Iterable[TurnEvent]) -> None:
        turn_id = ""
        try:
            for event in events:
                if event["type"] == "metadata":
                    turn_id = event.get("turn_id", turn_id)
                self._event(event)
                if event["type"] == "metadata" and event["phase"] == "awaiting_commit":
                    self._choose(turn_id)
        except KeyboardInterrupt:
            self._cancel(turn_id)

    def _event(self, event: TurnEvent) -> None:
        match event["type"]:
            case "token":
                print(event["content"], end="", flush=True)
            case "metadata" if event["phase"] == "retelling":
                self._aside("\n(retold)\n")
            case "write" if event["subsystem"] != "narrative":
                self._aside(f"\n[{event['subsystem']}: {event['action']}]", end="")
            case "complete":
                print("\n")
            case "error":
                print()
                complain(event["message"])
            case "cancelled":
                self._aside("\n(stopped; nothing of it counts)\n")

    def _choose(self, turn_id: str) -> None:
        """Keep the outcome, or have it retold in another way."""
        self._aside("\n(Enter keeps it; or write what should be different)")
        wish = self._asked("? ")
        with suppress(Refused):  # somebody else has chosen
            if wish:
                self._service.retell(turn_id, wish)
            else:
                self._service.commit(turn_id)

    def _cancel(self, turn_id: str) -> None:
        """Returns once the turn has ended: until then there is no place for another one."""
        try:
            self._service.cancel(turn_id)
        except Refused:
            self._aside("\n(too late to stop: it is being written)")
        events = self._service.events(turn_id) if turn_id else ()
        if any(event["type"] == "cancelled" for event in events):
            self._aside("\n(stopped; nothing of it counts)\n")

    def _print(self, turns: list[Any]) -> None:
        """Oldest first, as they are read."""
        for turn in reversed(turns):
            if turn["user_action"]:
                self._aside(f"> {turn['user_action']}")
            print(turn["narrative"] or f"({turn['status']})", end="\n\n")

    def _asked(self, prompt: str) -> str | None:
        """A line of the player; None: there are no more."""
        try:
            return input(prompt if self._tty else "")
        except EOFError:
            return None

    def _aside(self, text: str, end: str = "\n") -> None:
        """Print text that is no story: dimmed, and only on a terminal."""
        if self._tty:
            print(f"\x1b[2m{text}\x1b[0m" if self._colours else text, end=end, flush=True)
