"""A turn as a task of the extension `io.modelcontextprotocol/tasks`, and as the result of its tool.

A task is its turn, under the same id: what the journal keeps is all that there is of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mcp.types import CallToolResult, RequestParams, TextContent

from app.assistants.schemas import TURN, as_json, turn_shown
from app.assistants.tools import turn_text
from app.core.events import stamp
from app.turns.schemas import TurnDescription

EXTENSION: Final = "io.modelcontextprotocol/tasks"
POLL_MS: Final = 1_000
_STATUS: Final = {
    "queued": "working",
    "running": "working",
    "complete": "completed",
    "error": "completed",  # `failed` is for errors of the protocol
    "cancelled": "cancelled",
}

Json = dict[str, Any]


class TaskParams(RequestParams):
    """Parameters of `tasks/get`, `tasks/update` and `tasks/cancel`."""

    task_id: str


def is_open(turn: TurnDescription) -> bool:
    """Whether the turn has still to end."""
    return _STATUS[turn["status"]] == "working"


def turn_result(turn: TurnDescription) -> CallToolResult:
    """The result of the tool once the turn has ended."""
    failed = turn["status"] in ("error", "cancelled")
    shown = turn_shown(turn)
    return result(turn_text(shown), as_json(shown, TURN), is_error=failed)


def result(text: str, data: Mapping[str, Any], *, is_error: bool = False) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(text=text)], structured_content=dict(data), is_error=is_error
    )


def task(turn: TurnDescription, ttl_ms: int, now: float) -> Json:
    """The members that every task has; `now` in epoch seconds."""
    shown = {
        "taskId": turn["turn_id"],
        "status": _STATUS[turn["status"]],
        "createdAt": turn["created_at"],
        "lastUpdatedAt": stamp(now) if is_open(turn) else _ended_at(turn),
        "ttlMs": ttl_ms,
        "pollIntervalMs": POLL_MS,
    }
    phase = turn["phase"]
    return {**shown, "statusMessage": phase} if phase and is_open(turn) else shown


def _ended_at(turn: TurnDescription) -> str:
    lasted: Any = turn["timing"] or {}
    began = datetime.fromisoformat(turn["created_at"]).timestamp()
    return stamp(began + lasted.get("total_duration_ms", 0) / 1000)


def created(turn: TurnDescription, ttl_ms: int, now: float) -> Json:
    """The answer to a call whose turn runs on."""
    return {"resultType": "task", **task(turn, ttl_ms, now)}


def detailed(turn: TurnDescription, ttl_ms: int, now: float) -> Json:
    """The answer to `tasks/get`."""
    shown = {"resultType": "complete", **task(turn, ttl_ms, now)}
    if shown["status"] == "completed":
        whole = turn_result(turn).model_dump(by_alias=True, mode="json", exclude_none=True)
        shown["result"] = {name: value for name, value in whole.items() if name != "resultType"}
    return shown
