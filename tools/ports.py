"""Ports for servers that cannot choose one themselves."""

from __future__ import annotations

import errno
import random
import socket
from typing import Final

OURS: Final = range(10_000, 32_000)
"""Below the ports that Linux and macOS give to outgoing connections, which could be there first."""
_TRIES: Final = 100


def free_port() -> int:
    """A port of loopback that nobody uses now. Raises `OSError` where none was found."""
    for port in random.SystemRandom().sample(OURS, _TRIES):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
    raise OSError(errno.EADDRINUSE, "no port is free")
