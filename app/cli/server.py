"""uvicorn with signals of our own.

First SIGTERM or SIGINT: the listener stays open, new turns are refused, running turns finish within
the grace period; then the process ends with 0. A second signal ends it at once: what is left is in
the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from contextvars import Context
from types import FrameType

import structlog
import uvicorn

from app.bootstrap import Application, build, unknown_names
from app.cli.listening import BACKLOG, listen
from app.cli.output import complain
from app.cli.workers import CANNOT_START, Workers
from app.settings import BadSetting, SharedSettings
from app.telemetry.workers import WorkerPlace
from app.web.connections import BoundedHttp, BoundedWebSocket
from app.web.open_connections import ProxyHeaders

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 3  # how long open connections may take to be closed after the grace period


class Server(uvicorn.Server):
    """`parent`: see `_serve_on`."""

    def __init__(
        self,
        config: uvicorn.Config,
        application: Application,
        grace: float,
        parent: int | None = None,
    ) -> None:
        super().__init__(config)
        self._parent = parent
        self._application = application
        self._grace = grace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None
        self._stop_requested = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if self._parent is not None:
            self._loop.add_reader(self._parent, self._left_alone)
        await super().serve(sockets)

    def _left_alone(self) -> None:
        assert self._loop is not None
        assert self._parent is not None
        self._loop.remove_reader(self._parent)
        self.handle_exit(signal.SIGTERM, None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = self.config.host, sockets[0].getsockname()[1]
            logging.getLogger("uvicorn.error").info(
                "Uvicorn running on http://%s:%d (Press CTRL+C to quit)",
                f"[{host}]" if ":" in host else host,
                port,
            )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs in the main thread between two bytecodes, in the context of whatever runs there: hand over
        to the loop, or leave."""
        if self._stop_requested:
            try:
                sys.stderr.flush()  # fails where the signal came in the middle of a write to it
            finally:
                os._exit(128 + sig)
        self._stop_requested = True
        for drain in self._application.drains:
            drain.refuse_new()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_drain, context=Context())

    def _begin_drain(self) -> None:
        self._drain = asyncio.create_task(self._drained())

    async def _drained(self) -> None:
        drains = self._application.drains
        running = sum(drain.running for drain in drains)
        log.info("shutdown_started", running_turns=running, grace_seconds=self._grace)
        left = sum(await asyncio.gather(*(drain.finish(self._grace) for drain in drains)))
        log.info("shutdown_finished", left_to_recovery=left)
        self._application.send_readers_away()
        self.should_exit = True


def config_for(application: Application, settings: SharedSettings) -> uvicorn.Config:
    return uvicorn.Config(
        ProxyHeaders(application.asgi, list(settings.forwarded_allow_ips)),
        host=settings.host,
        port=settings.port,
        backlog=BACKLOG,
        log_config=None,
        access_log=False,  # its lines hold query strings; ours do not
        server_header=False,
        proxy_headers=False,  # they are read above
        http=BoundedHttp,
        ws=BoundedWebSocket,
        ws_max_size=1024 * 1024,  # between this and what is read, a message is answered and refused
        ws_per_message_deflate=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=CLOSE_SECONDS,
        lifespan="on",
        interface="asgi3",  # its guess asks whether the application is a coroutine function
        loop="app.loop:SlicedLoop",
    )


def run(settings: SharedSettings, _: argparse.Namespace) -> int:
    """The command. Raises `BadSetting`."""
    for name, nearest in unknown_names():
        log.warning("unknown_setting", setting=name, did_you_mean=nearest)
    return serve(settings)


def serve(settings: SharedSettings) -> int:
    """Serve until a signal stops it; the exit code. Raises `BadSetting`."""
    _raise_file_limit()
    sockets = listen(settings.host, settings.port)
    if settings.workers == 1:
        return _serve_on(sockets, settings)

    def work(place: WorkerPlace, parent: int) -> int:
        try:
            return _serve_on(sockets, settings, place, parent)
        except BadSetting as error:
            complain(str(error))
            return CANNOT_START

    return Workers(settings.workers, work).run()


def _serve_on(
    sockets: list[socket.socket],
    settings: SharedSettings,
    place: WorkerPlace | None = None,
    parent: int | None = None,
) -> int:
    """`parent`: a file descriptor at whose end nobody is left to be a worker of."""
    try:
        application = build(settings, worker=place)
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    _settle_garbage_collector()
    config = config_for(application, settings)
    Server(config, application, settings.shutdown_grace_seconds, parent).run(sockets)
    return 0


def _settle_garbage_collector() -> None:
    """Exempt the objects made so far from collection: they live as long as the process.

    The loop stands still while the collector looks at what open streams hold, about a microsecond for each
    of some 300 objects a stream. Whatever is served leaves nothing behind for it (tests see to that), so it
    runs when objects have come that stay, and looks at those alone. With fewer than 100,000 of them it
    would run for the turns of some 100 streams, which go by themselves; all are looked at once two million
    have come together, by failures for example.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 10)


def _raise_file_limit() -> None:
    """Every open stream is a file; the soft limit is often far below what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
