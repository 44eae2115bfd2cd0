"""The request of an AG-UI run, read from its body alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.errors import NoNewAction, ValidationError
from app.frontends.messages import digest, newest_first, read_chat, said
from app.requirements import nearest

SUGGEST: Final = "copilotkitSuggest"
_DRY_RUN: Final = "dry_run"
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


_UNSAID: Final = {"thread": "", "run": "", "protocol": ""}


@dataclass(frozen=True, slots=True)
class Run:
    """`parameters`: what the fold begins with, as far as the request says it."""

    wants: Play | Rejoin | Hidden
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def begun(self) -> dict[str, str]:
        """For the answer: what another request has kept with the turn does not count."""
        return {**_UNSAID, **self.parameters}


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
    key = None if last.name is None else digest("ag-ui", character_id, run.thread_id, last.name)
    return Play(last.text, key, _is_dry(props))


def _is_dry(props: dict[str, Any]) -> bool:
    """A misspelt `dry_run` must not write."""
    for name in props:
        if name != _DRY_RUN and nearest(name, (_DRY_RUN,), 1) is not None:
            raise ValidationError(f"forwardedProps.{name[:64]}: did you mean {_DRY_RUN}?")
    dry_run = props.get(_DRY_RUN)
    if dry_run is not None and not isinstance(dry_run, bool):
        raise ValidationError(f"forwardedProps.{_DRY_RUN}: must be true or false")
    return bool(dry_run)


def _tool_named(choice: Any) -> str:
    """The name in `{"type": "function", "function": {"name": …}}`, or a bare name."""
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else choice
    return name if isinstance(name, str) else ""
