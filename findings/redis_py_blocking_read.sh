#!/bin/bash
# redis-py 8.1.0: a blocking command that waits for longer than 5 s fails by default.
#
# XREAD with BLOCK 8000 on a stream to which nothing is added is answered by Redis after 8 s, with nothing.
# The client's own socket timeout, 5 s since release 8, ends it before:
#
#   Redis.from_url(…).xread({"s": "$"}, block=8000)                      -> TimeoutError after 5 s
#   Redis(…).xread({"s": "$"}, block=8000)                               -> TimeoutError after some 55 to 60 s:
#       it asks eleven times, each time from `$`, so that what comes between two of them is missed
#   Redis.from_url(…, socket_timeout=20).xread({"s": "$"}, block=8000)   -> nothing, after 8 s
#
# Exit code 0 while this is so; takes a minute. Needs redis-server in PATH and Python 3.11 or newer.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
command -v redis-server >/dev/null || { echo "redis-server is needed (Debian: redis-server)"; exit 1; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "redis==8.1.0"

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import asyncio
import socket
import subprocess
import sys
import time

from redis.asyncio import Redis
from redis.exceptions import ConnectionError


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def ready(client):
    for _ in range(1_200):
        try:
            return await client.ping()
        except ConnectionError:
            await asyncio.sleep(0.05)
    sys.exit("redis-server does not answer")


async def read(name, client):
    began = time.monotonic()
    try:
        said = repr(await client.xread({"s": "$"}, block=8_000))
    except Exception as error:
        said = type(error).__name__
    took = time.monotonic() - began
    print(f"{name:<28} -> {said} after {took:.1f} s", flush=True)
    await client.aclose()
    return said, took


async def main(port):
    url = f"redis://127.0.0.1:{port}"
    await ready(probe := Redis.from_url(url))
    await probe.aclose()
    return await asyncio.gather(
        read("from_url", Redis.from_url(url)),
        read("Redis()", Redis(host="127.0.0.1", port=port)),
        read("from_url, socket_timeout=20", Redis.from_url(url, socket_timeout=20)),
    )


port = free_port()
command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", sys.argv[1]]
redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
try:
    short, repeated, long = asyncio.run(main(port))
finally:
    redis.terminate()
    redis.wait()
ended = short[0] == repeated[0] == "TimeoutError"
sys.exit(0 if ended and short[1] < 8 < 40 < repeated[1] and long[0] in ("[]", "{}", "None") else 1)
PYTHON
