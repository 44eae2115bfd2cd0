"""Commands on events for other services: list, retry, drop."""

from __future__ import annotations

import argparse
from typing import Any, Final

from app.bootstrap import inspector
from app.cli.output import complain, print_lists
from app.core.events import stamp
from app.ports.outbox import EventState
from app.settings import SharedSettings

_STATES: Final[tuple[EventState, ...]] = ("dead", "waiting")


def list_events(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Those that were given up, and those that wait."""
    outbox = inspector(settings).outbox
    found = {state: outbox.events((state,), options.limit) for state in _STATES}
    print_lists(found, _line, as_json=options.json)
    return 0


def _line(event: dict[str, Any]) -> str:
    created = stamp(event["created_at"])
    reason = f"  {event['reason']} (refused {event['refusals']} times)" if event["reason"] else ""
    return f"{event['id']}  {created}  {event['subject']}{reason}"


def retry(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Let events wait anew."""
    return _change(settings, options, "waiting", "will be delivered where a server runs")


def drop(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Deliver events no more."""
    return _change(settings, options, "dropped", "dropped")


def _change(
    settings: SharedSettings, options: argparse.Namespace, state: EventState, done: str
) -> int:
    if not options.ids and not options.dead:
        complain("name events, or all that were given up by --dead")
        return 2
    changed = inspector(settings).outbox.change_events(None if options.dead else options.ids, state)
    print(f"{changed} {'event' if changed == 1 else 'events'} {done}")
    return 0 if options.dead or changed == len(options.ids) else 1
