"""What an AG-UI run asks for, from its body alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.errors import NoNewAction, ValidationError
from app.frontends.messages import digest, newest_first, read_chat, said

SUGGEST: Final = "copilotkitSuggest"
_UNHEARD: Final = frozenset({"system", "developer"})


class RunAgentInput(msgspec.Struct, rename="camel"):
    """The members that count; `state`, `context`, `tools` and `resume` do not."""

    messages: list[msgspec.Raw]
    thread_id: str | None = None
    run_id: str | None = None
    protocol_version: str | None = None
    forwarded_props: Any = None


@dataclass(frozen=True, slots=True)
class Play:
    """A player's action."""

    action: str
    key: str | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Rejoin:
    """The client has the beginning of a turn's text and wants the rest."""

    turn_id: str
    held: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """A run of the front end's own, never a turn; `suggest`: it wants to know what one could do."""

    suggest: bool


@dataclass(frozen=True, slots=True)
class Run:
    """`parameters`: what the fold begins with."""

    wants: Play | Rejoin | Hidden
    parameters: dict[str, str] = field(default_factory=dict)


def read_run(body: bytes, character_id: str) -> Run:
    """Raises `ValidationError` or `NoNewAction`."""
    run = read_chat(body, RunAgentInput)
    named = {"thread": run.thread_id, "run": run.run_id, "protocol": run.protocol_version}
    parameters = {name: value for name, value in named.items() if value}
    props = run.forwarded_props if isinstance(run.forwarded_props, dict) else {}
    if props.get("toolChoice"):
        return Run(Hidden(suggest=SUGGEST in _tool_named(props["toolChoice"])), parameters)
    return Run(_wanted(run, props, character_id), parameters)


def _wanted(run: RunAgentInput, props: dict[str, Any], character_id: str) -> Play | Rejoin:
    heard = (one for one in newest_first(run.messages) if one.role not in _UNHEARD)
    last = next(heard, None)
    if last is not None and last.role == "assistant" and last.name is not None:
        return Rejoin(last.name, last.text)
    if last is None or last.role != "user" or not said(last):
        raise NoNewAction
    dry_run = props.get("dry_run")
    if dry_run not in (None, True, False):
        raise ValidationError("forwardedProps.dry_run: must be true or false")
    key = None if last.name is None else digest("ag-ui", character_id, run.thread_id, last.name)
    return Play(last.text, key, bool(dry_run))


def _tool_named(choice: Any) -> str:
    """Of `{"type": "function", "function": {"name": …}}`, or of a bare name."""
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else choice
    return name if isinstance(name, str) else ""
