"""Bytes to and from the service, without a client library in between."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from serving import TIMEOUT, Served


@contextmanager
def connected(service: Served, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=TIMEOUT) as raw:
        raw.sendall(sent)
        yield raw


def received(raw: socket.socket) -> bytes:
    """Everything until the service closes the connection."""
    found = b""
    try:
        while data := raw.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


def heard(raw: socket.socket) -> bytes:
    """One answer without a body of interest."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += raw.recv(65_536)
    return found


def handshake(*headers: bytes, path: bytes = b"/turn/ws") -> bytes:
    usual = [
        b"GET " + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
    ]
    return b"\r\n".join([*usual, *headers, b"", b""])
