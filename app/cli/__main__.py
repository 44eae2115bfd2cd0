"""The installed command, and `python -m app.cli`."""

import gc
import os
import signal
import sys
from importlib import import_module
from types import FrameType


def main() -> int:
    """See `app.cli.main.main`, whose modules take a moment to be read. An interrupt meanwhile ends the
    process with 130 and without a traceback."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a shell ignores it for what runs in the background
        signal.signal(signal.SIGINT, _leave)
    gc.disable()  # what modules make stays: collections would find nothing in a fifth of this time
    command = import_module("app.cli.main")
    gc.enable()
    signal.signal(signal.SIGINT, before)
    return int(command.main())


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
