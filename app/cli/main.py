"""`dungeon-master`: the command line."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TextIO

from app.bootstrap import load_settings
from app.cli.arguments import parser
from app.cli.output import complain
from app.settings import BadSetting
from app.telemetry.logs import configure_logging

BROKEN_PIPE = 141  # what a shell shows for a command that SIGPIPE has ended
INTERRUPTED = 130
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: list[str] | None = None) -> int:
    """0: done; 1: the answer is no; 2: a setting or an argument is wrong.

    Whoever reads the output may stop at any line, and may interrupt.
    """
    _replace_closed_streams()
    try:
        try:
            return _run(arguments)
        finally:
            _flush()
    except BrokenPipeError:
        _discard_output(sys.stdout, sys.stderr)
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _discard_output(sys.stdout)
        complain(f"cannot write: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _replace_closed_streams() -> None:
    """The interpreter has None for a stream that was closed before it started."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _run(arguments: list[str] | None) -> int:
    options = parser().parse_args(arguments)
    try:
        settings = load_settings()
        configure_logging(
            level=getattr(options, "log_level", settings.log_level),
            json=settings.log_json_format,
            service=settings.service_name,
            environment=settings.environment,
        )
        return int(options.run(settings, options))
    except BadSetting as error:
        complain(str(error))
        return 2


def _flush() -> None:
    """Here, where a failure can be answered, and not when the interpreter ends. Whoever has stopped reading
    the log has the answer all the same."""
    sys.stdout.flush()
    try:
        sys.stderr.flush()
    except BrokenPipeError:
        _discard_output(sys.stderr)


def _discard_output(*streams: TextIO) -> None:
    """Discard what is left in the buffers of `streams`."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
