"""The numbers of all workers on one port, whichever of them is asked.

Each worker answers its siblings on a socket file. Nothing is summed here: every series has a `worker`
label, since the sum of counters falls when one worker starts again, and would be taken for a restart of
all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

ANSWER_SECONDS: Final = 1.0
_END: Final = b"# EOF\n"
_SAMPLE: Final = re.compile(rb"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?")

Render = Callable[[str], tuple[bytes, str]]
"""Of one process: body and content type for an `Accept` header."""


class WorkerPlace(NamedTuple):
    """Which worker this is, and the folder in which its siblings' sockets are."""

    number: int
    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / f"worker-{self.number}.sock"


class WorkerMetrics:
    """`place`: None where there is one process only."""

    def __init__(self, render: Render, place: WorkerPlace | None = None) -> None:
        self._render = render
        self._place = place

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The answer of `GET /metrics`: body and content type."""
        own, content_type = self._render(accept)
        if self._place is None:
            return own, content_type
        found = {str(self._place.number): own}
        sockets = [path for path in self._place.folder.glob("*.sock") if path != self._place.socket]
        answers = await asyncio.gather(*(_asked(path, accept) for path in sockets))
        names = (path.stem.removeprefix("worker-") for path in sockets)
        found.update({name: body for name, body in zip(names, answers, strict=True) if body})
        return joined(dict(sorted(found.items()))), content_type

    async def serve(self) -> None:
        """Answer siblings for as long as the service runs."""
        if self._place is None:
            return
        self._place.socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer, self._place.socket)
        try:
            await server.serve_forever()
        finally:
            self._place.socket.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ANSWER_SECONDS):
                accept = (await reader.readline()).decode("latin-1").rstrip("\n")
                writer.write(self._render(accept)[0])
                await writer.drain()
        writer.close()


async def _asked(path: Path, accept: str) -> bytes:
    """Empty where the worker does not answer."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(accept.replace("\n", " ").encode("latin-1", "replace") + b"\n")
                return await reader.read()
            finally:
                writer.close()
    return b""


def joined(bodies: Mapping[str, bytes]) -> bytes:
    """One exposition of several, family by family, each sample with its worker."""
    families: dict[bytes, list[bytes]] = {}
    heads: dict[bytes, list[bytes]] = {}
    for worker, body in bodies.items():
        name = b""
        for line in body.splitlines(keepends=True):
            if line.startswith(b"# EOF"):
                continue
            if line.startswith(b"#"):
                name = line.split(b" ", 3)[2]
                if line not in heads.setdefault(name, []):
                    heads[name].append(line)
            else:
                families.setdefault(name, []).append(_labelled(line, worker.encode()))
    end = _END if any(body.endswith(_END) for body in bodies.values()) else b""
    parts = [b"".join(heads[name] + families.get(name, [])) for name in heads]
    return b"".join(parts) + end


def _labelled(line: bytes, worker: bytes) -> bytes:
    match = _SAMPLE.match(line)
    if match is None:
        return line
    label, rest = b'{worker="%b"' % worker, line[match.end() :]
    if match[2] is None:
        return match[1] + label + b"}" + rest
    return match[1] + label + (b"" if rest.startswith(b"}") else b",") + rest
