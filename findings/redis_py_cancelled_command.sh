#!/bin/bash
# redis-py 8.1.0 on Python 3.11: a command that is cancelled may go on, and return as if nothing had been asked.
#
# A client with a socket timeout (5 s by default since release 8) sends each command by asyncio.wait_for. Before
# Python 3.12, that returns its result, and not the cancellation, where both come in the same step of the loop.
# A task that asks again and again is then never cancelled: one that a service waits for keeps it from stopping.
#
#   PING cancelled in each step that it takes    -> cancelled, True, True, True
#   the same with Redis(socket_timeout=None)     -> cancelled, cancelled, cancelled, cancelled
#
# Exit code 0 while this is so. Needs redis-server and python3.11 in PATH.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for needed in redis-server python3.11; do
    command -v "$needed" >/dev/null || { echo "$needed is needed"; exit 1; }
done
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "redis==8.1.0"

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import asyncio
import socket
import subprocess
import sys
import time

from redis.asyncio import Redis


def server(folder):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, port
        except OSError:
            time.sleep(0.05)


async def outcomes(port, **settings):
    """What becomes of a PING that is cancelled after so many steps of the loop, up to one that was done."""
    seen = []
    while True:
        client = Redis(port=port, **settings)
        await client.ping()
        command = asyncio.ensure_future(client.ping())
        for _ in range(len(seen)):
            await asyncio.sleep(0)
        if command.done():
            await client.aclose()
            return seen
        command.cancel()
        await asyncio.wait([command])
        seen.append("cancelled" if command.cancelled() else repr(command.exception() or command.result()))
        await client.aclose()


process, port = server(sys.argv[1])
try:
    usual = asyncio.run(outcomes(port))
    without = asyncio.run(outcomes(port, socket_timeout=None))
    print(f"usual client: {usual}\nwithout a socket timeout: {without}")
    sys.exit(not (set(usual) > {"cancelled"} and set(without) == {"cancelled"}))
finally:
    process.terminate()
    process.wait()
PYTHON
