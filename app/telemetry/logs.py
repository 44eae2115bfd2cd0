"""One log format for everything that logs in this process, and what may never be in it.

structlog's own part is fixed; level, format and stream live in standard logging, so loggers may be
cached and a second `configure_logging` still takes effect.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.encoding import dump
from app.core.events import stamp
from app.telemetry.redaction import HIDDEN, names_a_secret, printable, safe_text
from app.telemetry.redaction import redact_secrets as redact_secrets
from app.telemetry.redaction import sanitize_for_log as sanitize_for_log

STORY_FIELDS: Final = frozenset(
    {
        "narrative",
        "content",
        "user_action",
        "action_text",
        "prompt",
        "partial_narrative",
        "ai_response",
        "gm_response",
    }
)
QUIET: Final = (
    *("httpx", "httpx2", "httpcore", "openai", "mcp"),
    *("uvicorn.access", "sse_starlette", "websockets", "asyncio"),
)
FLUSH_SECONDS = 0.05
MAX_EVENT = 1_000
MAX_DEPTH = 6
MAX_ITEMS = 100
MAX_TRACE_LINES = 120


def configure_logging(
    *,
    level: str,
    json: bool,
    service: str,
    environment: str,
    stream: TextIO | None = None,
) -> None:
    """Send all records to `stream` (standard error by default) in one format.

    `level` is for this service's loggers (`app.*`). Libraries never log below INFO: some write
    whole request bodies and frames at DEBUG, the players' words among them.
    """
    _skip_what_no_line_shows()
    out = sys.stderr if stream is None else stream
    handler = _Handler(out)
    origin = {"service": service, "environment": environment} if json else {}
    handler.setFormatter(_Formatter(dump if json else _for_people(out), origin))
    _install(handler)
    _set_levels(logging.getLevelNamesMapping()[level.upper()])
    structlog.configure(
        processors=_OURS,
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _skip_what_no_line_shows() -> None:
    """A third of the cost of a record; https://docs.python.org/3/howto/logging.html#optimization"""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class _Handler(logging.StreamHandler[TextIO]):
    """On the event loop, lines wait a moment to be written together; warnings wait for nothing.

    Says nothing of a record that cannot be written: the usual report would show it raw.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # which is going to flush

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + self.terminator)
        except Exception:
            self.handleError(record)
        if record.levelno >= logging.WARNING or not self._will_flush():
            self.flush()

    def _will_flush(self) -> bool:
        if self._loop is not None and not self._loop.is_closed():
            return True
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._loop.call_later(FLUSH_SECONDS, self._flush_due)
        return True

    def _flush_due(self) -> None:
        self._loop = None
        self.flush()

    def flush(self) -> None:
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            try:
                self.stream.write("".join(lines))
                self.stream.flush()
            except (OSError, ValueError):  # nobody there to read, or closed
                pass

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def _is_wanted(record: logging.LogRecord) -> bool:
    """uvicorn's line for a WebSocket holds its query; `app.access` writes one that does not. Of a handshake
    that was refused with an answer, uvicorn 0.54 says that it was not completed, as an error."""
    message = str(record.msg)
    return '"WebSocket' not in message and "without completing handshake" not in message


def _install(handler: logging.Handler) -> None:
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.propagate = True
    logging.getLogger("uvicorn.error").addFilter(_is_wanted)


def _set_levels(level: int) -> None:
    logging.getLogger("app").setLevel(level)
    logging.getLogger().setLevel(max(level, logging.INFO))
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _hand_over(
    _: WrappedLogger, __: str, event: EventDict
) -> tuple[tuple[EventDict], dict[str, Any]]:
    return (_Ours(event),), {}


class _Ours(dict[str, Any]):
    """A dictionary made by structlog, as opposed to one that a library logs."""


# One list for the life of the process: cached loggers hold on to it.
_OURS: Final[list[Processor]] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _hand_over,
]


class _Formatter(logging.Formatter):
    """structlog's `ProcessorFormatter` for one handler only, which needs none of its copies."""

    def __init__(self, render: Callable[[EventDict], str], origin: Mapping[str, str]) -> None:
        super().__init__()
        self._render = render
        self._origin = origin

    def format(self, record: logging.LogRecord) -> str:
        event = record.msg if type(record.msg) is _Ours else _foreign(record)
        if "exc_info" in event or "stack_info" in event:
            event = structlog.processors.format_exc_info(None, "", event)
        line = scrub(None, "", event)
        line["logger"] = safe_text(record.name)
        line["level"] = record.levelname.lower()
        line["timestamp"] = stamp(record.created)
        line.update(self._origin)
        return self._render(line)


def _foreign(record: logging.LogRecord) -> EventDict:
    event: EventDict = {"event": record.getMessage(), **structlog.contextvars.get_contextvars()}
    if record.exc_info:
        event["exc_info"] = record.exc_info
    if record.stack_info:
        event["stack_info"] = record.stack_info
    return event


def _for_people(out: TextIO) -> Callable[[EventDict], str]:
    console = structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return lambda line: str(console(None, "", line))


# -- what may not be logged -----------------------------------------------------------------------

_TRACES: Final = frozenset({"exception", "stack_info"})


def scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Make every text of an event safe and replace story text by its length. Never raises."""
    cleaned = _fields(event, MAX_DEPTH)
    for name in _TRACES & event.keys():
        cleaned[name] = _trace(str(event[name]))
    if "event" in event:
        cleaned["event"] = safe_text(event["event"], MAX_EVENT)
    return cleaned


def _fields(fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for key, value in islice(fields.items(), MAX_ITEMS):
        name, kind = _field(key)
        if kind == "story":
            cleaned.setdefault(f"{name}_length", _length(value))
        elif kind == "secret" and value is not None and not isinstance(value, (int, float)):
            cleaned[name] = HIDDEN
        elif type(value) is str:
            cleaned[name] = safe_text(value)
        else:
            cleaned[name] = _value(value, depth)
    return cleaned


@lru_cache(maxsize=1_024)
def _field(key: object) -> tuple[str, str]:
    """A field's name, safe to be shown, and what it may hold: story, secret or anything."""
    name = key if isinstance(key, str) and key.isidentifier() else safe_text(key, 100)
    if name in STORY_FIELDS:
        return name, "story"
    return name, "secret" if names_a_secret(name) else "anything"


def _length(value: object) -> int | None:
    return len(value) if isinstance(value, (str, bytes, Sequence, Mapping)) else None


def _value(value: object, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case int() if -(2**63) <= value < 2**64:
            return int(value)  # of a subclass, an encoder would not have it
        case float() if math.isfinite(value):
            return float(value)
        case str():
            return safe_text(value)
        case Mapping() | list() | tuple() | set() | frozenset() if depth == 0:
            return "…"
        case Mapping():
            return _fields(value, depth - 1)
        case list() | tuple() | set() | frozenset():
            return [_value(item, depth - 1) for item in list(value)[:MAX_ITEMS]]
        case int():
            return "a very large number"
        case _:
            return safe_text(_shown(value))


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # a broken __repr__ must not cost the log line
        return f"<{type(value).__name__}>"


def _trace(text: str) -> str:
    """A traceback keeps its lines; indented, none of them can pass for a record of its own."""
    lines = text.splitlines()
    kept = lines if len(lines) <= MAX_TRACE_LINES else ["…", *lines[-MAX_TRACE_LINES:]]
    return "\n".join("  " + safe_text(_without_input(line), 300) for line in kept)


def _without_input(line: str) -> str:
    """pydantic quotes the rejected value, which may be a player's or the model's words."""
    line = printable(line)
    before, found, rest = line.partition("input_value=")
    return f"{before}input_value=…{rest[rest.rfind(', input_type=') :]}" if found else line
