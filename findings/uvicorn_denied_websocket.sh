#!/bin/bash
# uvicorn 0.54.0 with websockets 17.4 (ws="websockets-sansio"): an application that denies a WebSocket with an
# answer of its own, as the ASGI extension websocket.http.response allows, is reported as one that forgot to.
#
# The client gets the answer, and the log an error for each denial:
#
#   client: HTTP 403 with the application's body
#   log:    ERROR ASGI callable returned without completing handshake.
#
# A plain websocket.close in place of the answer is logged without an error.
# Exit code 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "uvicorn==0.54.0" "websockets==17.4"

"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import logging
import sys

import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

records = []


class Kept(logging.Handler):
    def emit(self, record):
        records.append(record)


async def application(scope, receive, send):
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/closed":
        await send({"type": "websocket.close"})
        return
    assert "websocket.http.response" in scope["extensions"]
    await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"not you"})


async def denied(port, path):
    """Status and body that the client gets, and the errors in the log meanwhile."""
    records.clear()
    try:
        await connect(f"ws://127.0.0.1:{port}{path}")
    except InvalidStatus as refused:
        answer = refused.response.status_code, bytes(refused.response.body or b"")
    await asyncio.sleep(0.5)
    return answer, [record.getMessage() for record in records if record.levelno >= logging.ERROR]


async def main():
    logging.getLogger("uvicorn.error").addHandler(Kept())
    config = uvicorn.Config(
        application, port=0, ws="websockets-sansio", lifespan="off", log_config=None, log_level="info"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    answered, closed = await denied(port, "/answered"), await denied(port, "/closed")
    print(f"denied with an answer: {answered}\ndenied with a close: {closed}")
    server.should_exit = True
    await serving
    told = ["ASGI callable returned without completing handshake."]
    return answered == ((403, b"not you"), told) and closed[1] == []


sys.exit(not asyncio.run(asyncio.wait_for(main(), 60)))
PYTHON
