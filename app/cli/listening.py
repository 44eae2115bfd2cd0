"""The listening sockets, opened before anything else is started."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Final

from app.settings import BadSetting

BACKLOG: Final = 2_048


def listen(host: str, port: int) -> list[socket.socket]:
    """On each address of `host`, all with the same port. Raises `BadSetting` where none can be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise BadSetting("HOST: this name has no address") from None
    listening: list[socket.socket] = []
    refusal: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            listening.append(_bound(family, (address[0], port, *address[2:])))
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(listening)
                raise BadSetting(_reason(error, port)) from None
            refusal = error
        port = listening[0].getsockname()[1] if listening else port
    if refusal is not None and not listening:
        raise BadSetting(_reason(refusal, port))
    return listening


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(BACKLOG)  # a bound socket alone does not keep another one from listening
    except OSError:
        opened.close()
        raise
    return opened


def _close(listening: list[socket.socket]) -> None:
    for opened in listening:
        with suppress(OSError):
            opened.close()


def _reason(error: OSError, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"PORT: {port} is in use at this HOST; stop what listens there, or set another PORT"
            )
        case errno.EACCES | errno.EPERM:
            return f"PORT: this user may not listen on {port}; ports from 1024 on are open to everybody"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return "HOST: is no address of this machine"
        case _:
            return f"HOST, PORT: {error.strerror}"
