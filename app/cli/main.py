"""`dungeon-master`: the command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any, get_args

from app import __version__
from app.bootstrap import inspector, load_settings, offline_event_log
from app.cli.server import serve
from app.core.events import stamp
from app.ports.inspection import CannotSettle, Which
from app.settings import BadSetting, SharedSettings
from app.telemetry.logs import configure_logging
from app.turns.replay import NotReplayable, replay


def main(arguments: list[str] | None = None) -> int:
    """0: done; 1: the answer is no; 2: a setting or an argument is wrong."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        configure_logging(
            level=settings.log_level,
            json=settings.log_json_format,
            service=settings.service_name,
            environment=settings.environment,
        )
        return int(options.run(settings, options))
    except BadSetting as error:
        print(f"dungeon-master: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dungeon-master", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("serve", help="serve the API and the play page")
    command.set_defaults(run=_serve)

    command = commands.add_parser("turns", help="list open, unknown or failed turns")
    command.set_defaults(run=_list)
    command.add_argument("--limit", type=int, default=50)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--which", choices=("open", "unknown", "failed"), default=None)
    actions = command.add_subparsers(dest="action")
    action = actions.add_parser("show", help="one turn with its journal")
    action.add_argument("turn")
    action.set_defaults(run=_show)
    action = actions.add_parser("settle", help="say what became of the write under way")
    action.add_argument("turn")
    action.add_argument("fate", choices=("landed", "failed"))
    action.set_defaults(run=_settle)

    command = commands.add_parser("replay", help="tell a stored turn again and compare")
    command.add_argument("turn")
    command.set_defaults(run=_replay)
    return parser


def _serve(settings: SharedSettings, _: argparse.Namespace) -> int:
    serve(settings)
    return 0


def _list(settings: SharedSettings, options: argparse.Namespace) -> int:
    store = inspector(settings)
    kinds: tuple[Which, ...] = (options.which,) if options.which else get_args(Which)
    found = {kind: store.turns(kind, options.limit) for kind in kinds}
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for kind, turns in found.items():
        print(f"{kind}: {len(turns)}")
        for turn in turns:
            print("  " + _line(turn))
    return 0


def _line(turn: dict[str, Any]) -> str:
    created = stamp(turn["created_at"])
    progress = f"step {turn['step']}, intent {turn['intent']}"
    return f"{turn['turn_id']}  {created}  {turn['status']}/{turn['phase']}  {progress}"


def _show(settings: SharedSettings, options: argparse.Namespace) -> int:
    journal = inspector(settings).journal(options.turn)
    if journal is None:
        return _no(f"no turn {options.turn}")
    print(json.dumps(journal, indent=2))
    return 0


def _settle(settings: SharedSettings, options: argparse.Namespace) -> int:
    try:
        subsystem = inspector(settings).settle(options.turn, landed=options.fate == "landed")
    except CannotSettle as error:
        return _no(str(error))
    print(f"{subsystem} write settled as {options.fate}; the turn goes on where a server runs")
    return 0


def _replay(settings: SharedSettings, options: argparse.Namespace) -> int:
    stored, entries = inspector(settings).stored(options.turn)
    if stored is None:
        return _no(f"no turn {options.turn}")
    try:
        told = asyncio.run(replay(stored, entries, offline_event_log()))
    except NotReplayable as error:
        return _no(str(error))
    for difference in told.differences:
        print(f"{difference.what} differs:\n  stored   {difference.stored}")
        print(f"  replayed {difference.replayed}")
    same = "differ" if told.differences else "are the same"
    print(
        f"{told.events} events, {told.narrative_length} characters: outcome, plan and events {same}"
    )
    return 1 if told.differences else 0


def _no(reason: str) -> int:
    print(f"dungeon-master: {reason}", file=sys.stderr)
    return 1
