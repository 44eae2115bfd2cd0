"""Arguments of the command line, each command with a description and an example."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from app import __version__
from app.cli import archives, benching, describing, doctor, hub, journal, migrating, playing
from app.cli.helping import Help, add, count, span
from app.cli.server import run as serve
from app.ports.inspection import Which

_SERVE = Help(
    "serve the API and the play page",
    "Serve the API and the play page until SIGTERM or SIGINT. All settings come from the environment "
    "or from .env in this folder; .env.example lists them. Exit code 2: a setting is wrong.",
    "PORT=9000 dungeon-master serve",
)
_DOCTOR = Help(
    "ask the model, journey-log and the store whether a turn would succeed",
    "Ask the model, journey-log and the store, and print what works and what to set: in which form the "
    "model server takes the schema, streaming, usage, context length, two players at a time. It costs "
    "about eight short turns of tokens and writes nothing. Works beside a running server. Exit code 1: a "
    "turn would fail.",
    "OPENAI_BASE_URL=http://127.0.0.1:8000/v1 dungeon-master doctor",
)
_TURN = Help(
    "take one turn on a running server",
    "Take a turn and print the story as it forms, or with --json each event as a line of JSON. The "
    "character is the one that was played last; where there is none, one is made. A connection that breaks "
    "is taken up again. With AUTH_MODE=jwt the token comes from the variable DUNGEON_MASTER_TOKEN. Exit "
    "code 1: the turn was not completed.",
    'dungeon-master turn "I lift the latch and look inside."',
)
_PLAY = Help(
    "play a game in this terminal, on a running server",
    "Read what your character does, line by line, and print the story as it forms. The game goes on where "
    "it was: with the character that was played last, or with a new one. Ctrl-C stops the turn that is "
    "being written, Ctrl-D leaves, and /help lists what else there is. The token comes from the variable "
    "DUNGEON_MASTER_TOKEN.",
    "dungeon-master play",
)
_WATCH = Help(
    "read a turn, or all turns of a character as they come",
    "Print the story of a turn, from its start and then as it forms, or of every turn of a character, "
    "whoever takes it, until you interrupt. With --json each event is a line of JSON. Exit code 1: the "
    "turn was not completed.",
    "dungeon-master watch 7c9e6679-7425-40de-944b-e07fc1f90ae7",
)
_OPENAPI = Help(
    "print the description of the API",
    "Print the OpenAPI document of the server that these settings make, or with --async the AsyncAPI "
    "document of its streams and sockets. No server has to run.",
    "dungeon-master openapi > openapi.json",
)
_TURNS = Help(
    "list turns: open, unknown, failed or complete",
    "List turns, newest first, with status, phase, progress of their writes and the type of the error "
    "that ended them. open: not ended. unknown: a write was sent and its fate is not known. failed: "
    "ended with an error or with a failed write. complete: ended as they should; listed only where "
    "asked for. Works beside a running server.",
    "dungeon-master turns --which complete --user mara --since 2h",
)
_SHOW = Help(
    "one turn with its journal",
    "Print one turn with its journal, its writes and its result, as JSON.",
    "dungeon-master turns show 7c9e6679-7425-40de-944b-e07fc1f90ae7",
)
_SETTLE = Help(
    "say what became of the write under way",
    "Record by hand what became of a write whose answer was lost. The turn then goes on where a server "
    "runs. The service settles such writes by itself: use this when you know better.",
    "dungeon-master turns settle 7c9e6679-7425-40de-944b-e07fc1f90ae7 landed",
)
_REPLAY = Help(
    "run a stored turn again and compare",
    "Replay a stored turn, offline, from its recording, and compare outcome, plan and events with "
    "what was stored. Recordings are kept for TURN_STORAGE_TTL_SECONDS. Exit code 1: they differ.",
    "dungeon-master replay 7c9e6679-7425-40de-944b-e07fc1f90ae7",
)
_HUB = Help(
    "list events for other services: given up, or waiting",
    "List events that the message hub of MESSAGE_HUB_URL has refused for good, and those that wait for it, "
    "each with its subject and why the last attempt failed. While an event waits, so do the later ones of "
    "its subject. Works beside a running server.",
    "dungeon-master hub list --limit 5",
)
_RETRY = Help(
    "let events be delivered again",
    "Let events that were given up, or wait for their next attempt, be delivered by the server that runs, "
    "or by the next one. Later events of the same subject may have been delivered before.",
    "dungeon-master hub retry --dead",
)
_DROP = Help(
    "deliver events no more",
    "Let events go undelivered, so that the later ones of their subject go on. Readers of GET /hub/events "
    "still get them.",
    "dungeon-master hub drop turn-failed-7c9e6679-7425-40de-944b-e07fc1f90ae7",
)
_MIGRATE = Help(
    "move the journal from SQLite to PostgreSQL",
    "Move turns, events, idempotency keys, budgets, characters and all else in the file to the PostgreSQL "
    "database of STORE_URL, whose schema must be empty. No server may run on the file. Counts and digests "
    "of each table are compared before anything counts; on any difference nothing is moved. Turns that "
    "were open are carried on by the first server that starts there.",
    "STORE_URL=postgresql://dm@db/dm dungeon-master migrate sqlite-to-postgres data/dungeon-master.db",
)


def parser() -> argparse.ArgumentParser:
    """Each command sets `run`, which takes settings and options and returns the exit code; `log_level`
    where it logs less than the settings say, since it prints itself what was found out."""
    top = argparse.ArgumentParser(
        prog="dungeon-master",
        description="The Dungeon Master service and its tools.",
        epilog="example:\n  dungeon-master serve\n\n"
        "dungeon-master COMMAND --help describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add(commands, "serve", _SERVE, serve)
    add(commands, "doctor", _DOCTOR, doctor.run).set_defaults(log_level="ERROR")
    _add_remote(commands)
    command = add(commands, "openapi", _OPENAPI, describing.run)
    command.set_defaults(log_level="ERROR")
    command.add_argument("--async", dest="streams", action="store_true", help="AsyncAPI")
    command = add(commands, "turns", _TURNS, journal.list_turns)
    command.add_argument("--limit", type=count, default=50, help="turns of each kind (default 50)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--which", choices=get_args(Which), help="one kind only")
    command.add_argument("--user", help="only those of this user")
    command.add_argument("--character", help="only those of this character")
    command.add_argument("--since", type=span, help="only newer ones: 90s, 30m, 2h, 7d")
    actions = command.add_subparsers(dest="action", metavar="ACTION")
    action = add(actions, "show", _SHOW, journal.show)
    action.add_argument("turn", help="the turn's id")
    action = add(actions, "settle", _SETTLE, journal.settle)
    action.add_argument("turn", help="the turn's id")
    action.add_argument("fate", choices=("landed", "failed"), help="what became of the write")
    _add_hub(commands)
    command = add(commands, "migrate", _MIGRATE, migrating.sqlite_to_postgres)
    command.add_argument("direction", choices=("sqlite-to-postgres",), help="from where to where")
    command.add_argument("file", help="the database file of SQLite")
    archives.add_to(commands)
    command = add(commands, "replay", _REPLAY, journal.replay_turn)
    command.add_argument("turn", help="the turn's id")
    return top


def _add_hub(commands: Any) -> None:
    command = add(commands, "hub", _HUB, hub.list_events)
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = add(actions, "list", _HUB, hub.list_events)
    action.add_argument("--limit", type=count, default=50, help="events of each kind (default 50)")
    action.add_argument("--json", action="store_true", help="print JSON")
    for name, text, run in (("retry", _RETRY, hub.retry), ("drop", _DROP, hub.drop)):
        action = add(actions, name, text, run)
        action.add_argument("ids", nargs="*", metavar="ID", help="an event's id")
        action.add_argument("--dead", action="store_true", help="all that were given up")


def _add_remote(commands: Any) -> None:
    """The commands that ask a running server."""
    turn = add(commands, "turn", _TURN, playing.take_turn)
    turn.add_argument("action", help="what the character does")
    play = add(commands, "play", _PLAY, playing.play)
    watch = add(commands, "watch", _WATCH, playing.watch)
    watch.add_argument("id", help="of a turn or of a character")
    for command in (turn, play):
        command.add_argument("--character", help="the character's id")
    for command in (turn, watch):
        command.add_argument("--json", action="store_true", help="print each event as JSON")
    bench = add(commands, "bench", benching.HELP, benching.run)
    benching.add_options(bench)
    for command in (turn, play, watch, bench):
        command.set_defaults(log_level="ERROR")
        command.add_argument("--url", help="the server (default: HOST and PORT of the settings)")
        command.add_argument("--user", help="whose character, without authentication")
