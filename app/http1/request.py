"""The bytes of a request."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType


def encode_request(
    errors: ModuleType,
    method: bytes,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
) -> bytes:
    """A request in one piece, `Content-Length` included. Raises `LocalProtocolError` for a head that is
    none."""
    lines = [b"%s %s HTTP/1.1" % (method, target)]
    sized = False
    for name, value in headers:
        known = name.lower()
        if known != b"transfer-encoding":
            sized = sized or known == b"content-length"
            lines.append(b"%s: %s" % (name, value))
    if not sized and (body or method in (b"POST", b"PUT")):
        lines.append(b"Content-Length: %d" % len(body))
    head = b"\r\n".join(lines)
    # Nobody may smuggle a line of his own in, by a user id for example.
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise errors.LocalProtocolError("a header holds a line break")
    return b"%s\r\n\r\n%s" % (head, body)
