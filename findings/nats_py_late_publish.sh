#!/bin/bash
# nats-py 2.16.0: a publish to JetStream that has raised TimeoutError is sent later all the same, once for
# each try.
#
# While the client is disconnected and mends its connection (the default), what is published waits in its
# buffer, and stays there when the caller's time is over. A caller that tries three times has three messages:
#
#   server stopped; js.publish(...) -> TimeoutError, three times; server started -> 3 messages more
#
# With a Nats-Msg-Id the server drops the copies, as long as they come within its duplicate window.
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
    client = await nats.connect(server.url, error_cb=quiet, reconnect_time_wait=0.1)
    stream = client.jetstream(timeout=1)
    await stream.add_stream(name="S", subjects=["s.>"])
    server.stop()
    while client.is_connected:
        await asyncio.sleep(0.05)
    raised = 0
    for _ in range(3):
        try:
            await stream.publish("s.a", b"given up")
        except TimeoutError:
            raised += 1
    server.start()
    while not client.is_connected:
        await asyncio.sleep(0.05)
    await client.flush()
    count = (await stream.stream_info("S")).state.messages
    print(f"{raised} tries have raised TimeoutError; {count} messages are in the stream")
    await client.close()
    return raised == count == 3


server = Server()
server.start()
try:
    sys.exit(not asyncio.run(asyncio.wait_for(main(server), 60)))
finally:
    server.stop()
PYTHON
