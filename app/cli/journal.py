"""Commands on the journal: list, show, settle, replay."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any, Final

from app.bootstrap import inspector, offline_event_log
from app.cli.output import complain, print_lists
from app.core.events import stamp
from app.ports.inspection import CannotSettle, TurnFilter, Which
from app.settings import SharedSettings
from app.turns.replay import NotReplayable, replay

_NEED_A_LOOK: Final[tuple[Which, ...]] = ("open", "unknown", "failed")


def list_turns(settings: SharedSettings, options: argparse.Namespace) -> int:
    """List turns of one kind, or all kinds that may need attention."""
    store = inspector(settings)
    kinds: tuple[Which, ...] = (options.which,) if options.which else _NEED_A_LOOK
    since = None if options.since is None else time.time() - options.since
    only = TurnFilter(options.user, options.character, since)
    found = {kind: store.turns(kind, options.limit, only) for kind in kinds}
    print_lists(found, _line, as_json=options.json)
    return 0


def _line(turn: dict[str, Any]) -> str:
    created = stamp(turn["created_at"])
    progress = f"step {turn['step']}, intent {turn['intent']}"
    error = f"  {turn['error_type']}" if turn["error_type"] else ""
    return f"{turn['turn_id']}  {created}  {turn['status']}/{turn['phase']}  {progress}{error}"


def show(settings: SharedSettings, options: argparse.Namespace) -> int:
    """One turn as JSON."""
    journal = inspector(settings).journal(options.turn)
    if journal is None:
        return _no(f"no turn {options.turn}")
    print(json.dumps(journal, indent=2))
    return 0


def settle(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Record what became of a write."""
    try:
        subsystem = inspector(settings).settle(options.turn, landed=options.fate == "landed")
    except CannotSettle as error:
        return _no(str(error))
    print(f"{subsystem} write settled as {options.fate}; the turn goes on where a server runs")
    return 0


def replay_turn(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Replay a turn and compare."""
    stored, entries = inspector(settings).stored(options.turn)
    if stored is None:
        return _no(f"no turn {options.turn}")
    try:
        replayed = asyncio.run(replay(stored, entries, offline_event_log()))
    except NotReplayable as error:
        return _no(str(error))
    for difference in replayed.differences:
        print(f"{difference.what} differs:\n  stored   {difference.stored}")
        print(f"  replayed {difference.replayed}")
    same = "differ" if replayed.differences else "are the same"
    print(
        f"{replayed.events} events, {replayed.narrative_length} characters:"
        f" outcome, plan and events {same}"
    )
    return 1 if replayed.differences else 0


def _no(reason: str) -> int:
    complain(reason)
    return 1
