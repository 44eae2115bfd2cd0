"""An ASGI application on a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """The address of the application; its server runs in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, loop="asyncio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[held])))
        thread.start()
        try:
            yield f"http://127.0.0.1:{held.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
