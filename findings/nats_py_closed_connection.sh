#!/bin/bash
# nats-py 2.16.0, with allow_reconnect=False: neither a server that is away nor a connection that is gone is
# told to whoever waits for it.
#
# `connect` to a port where nobody listens tries again every 2 s, 60 times by default, and without end for
# max_reconnect_attempts=-1: connect_timeout=1 and allow_reconnect=False do not bound it. A request that waits
# for its answer when the server dies is not told either: it waits for its whole timeout, though the client
# is closed at once.
#
#   connect(..., allow_reconnect=False, connect_timeout=1), nobody listens  -> still trying after 8 s
#   request(..., timeout=4), server killed after 0.3 s                     -> TimeoutError after 4 s
#
# Exit code 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
PATH="$PATH:/usr/sbin"
command -v nats-server >/dev/null || { echo "nats-server is needed (Debian: nats-server)"; exit 1; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "nats-py==2.16.0"

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import asyncio
import socket
import subprocess
import sys
import time

import nats


class Server:
    """A server of NATS with JetStream on this machine."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", sys.argv[1]]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()


async def quiet(_):
    pass


async def main(server):
    client = await nats.connect(server.url, error_cb=quiet, allow_reconnect=False)
    await client.subscribe("silent")
    began = time.monotonic()
    waiting = asyncio.create_task(client.request("silent", b"", timeout=4))
    await asyncio.sleep(0.3)
    server.stop()
    while not client.is_closed:
        await asyncio.sleep(0.05)
    closed = time.monotonic() - began
    result = (await asyncio.gather(waiting, return_exceptions=True))[0]
    waited = time.monotonic() - began
    print(f"closed after {closed:.1f} s; the request: {type(result).__name__} after {waited:.1f} s")
    options = {"error_cb": quiet, "allow_reconnect": False, "connect_timeout": 1}
    connecting = asyncio.create_task(nats.connect(server.url, **options))
    done, _ = await asyncio.wait([connecting], timeout=8)
    print(f"connect to nobody: {'done' if done else 'still trying'} after 8 s")
    connecting.cancel()
    return isinstance(result, TimeoutError) and waited > 3.9 > closed + 1 and not done


server = Server()
server.start()
try:
    sys.exit(not asyncio.run(asyncio.wait_for(main(server), 60)))
finally:
    server.stop()
PYTHON
