#!/bin/bash
# uvicorn 0.54.0 with httptools 0.9.0: the HTTP half of each WebSocket connection is left to the garbage
# collector.
#
# The protocol and its parser have each other. For a connection that stays HTTP, the parser is dropped when the
# connection is lost; one that became a WebSocket hears of that no more, so that nothing frees the two:
#
#   50 requests, each on a connection of its own      ->  0 protocols for the collector
#   50 WebSockets, opened and closed                  -> 50 protocols for the collector
#
# A server of many sockets stands still for the collector for what they leave. Exit code 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "uvicorn==0.54.0" "httptools==0.9.0" "websockets==17.4"

"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import gc
import sys

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.asyncio.client import connect

COUNT = 50


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    else:
        headers = [(b"content-length", b"2"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


async def request(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await reader.read()).endswith(b"ok")
    writer.close()
    await writer.wait_closed()


async def websocket(port):
    async with connect(f"ws://127.0.0.1:{port}/"):
        pass


async def left(use, port):
    """How many protocols only the collector can free, once all connections are closed."""
    gc.collect()
    gc.disable()
    for _ in range(COUNT):
        await use(port)
    await asyncio.sleep(0.5)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = sum(isinstance(thing, HttpToolsProtocol) for thing in gc.garbage)
    gc.garbage.clear()
    gc.enable()
    return found


async def main():
    config = uvicorn.Config(
        application, port=0, http="httptools", ws="websockets-sansio", lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    found = {use.__name__: await left(use, port) for use in (request, websocket)}
    print(f"left to the collector, of {COUNT} each: {found}")
    server.should_exit = True
    await serving
    return found == {"request": 0, "websocket": COUNT}


sys.exit(not asyncio.run(asyncio.wait_for(main(), 60)))
PYTHON
