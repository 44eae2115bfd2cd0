#!/bin/bash
# redis-py 8.1.0: `Redis()` sends a command again whose answer was lost, whatever the command does;
# `Redis.from_url()` does not.
#
# A command that was carried out is then carried out twice. Over a relay that loses the answers to XADD and
# closes the connection, on a real Redis:
#
#   Redis().xadd(key, …),            one answer lost -> an id, as if nothing had been; 2 entries
#   Redis().xadd(key, …, id="7-0"),  one answer lost -> ResponseError "equal or smaller", of its own entry
#   Redis().xadd(key, …),            all lost        -> ConnectionError; 11 entries
#   from_url(…).xadd(key, …),        one lost        -> ConnectionError; 1 entry
#
# Exit code 0 while this is so. Needs redis-server in PATH and Python 3.11 or newer.
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

from redis.asyncio import Redis
from redis.exceptions import ConnectionError

ALWAYS = 100


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Relay:
    """In front of Redis. Of the next `lose` answers to XADD each one is lost, and its connection."""

    def __init__(self, port):
        self.port, self.lose = port, 0

    async def serve(self, reader, writer):
        inner, outer = await asyncio.open_connection("127.0.0.1", self.port)
        asked = []

        async def answer():
            while data := await inner.read(65_536):
                if asked and b"XADD" in asked[-1] and self.lose:
                    self.lose -= 1
                    break
                writer.write(data)
            writer.close()

        answering = asyncio.create_task(answer())
        while data := await reader.read(65_536):
            asked.append(data)
            outer.write(data)
        outer.close()
        await answering


async def ready(direct):
    for _ in range(1_200):
        try:
            return await direct.ping()
        except ConnectionError:
            await asyncio.sleep(0.05)
    sys.exit("redis-server does not answer")


async def main(port):
    relay, direct = Relay(port), Redis.from_url(f"redis://127.0.0.1:{port}")
    await ready(direct)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    at = server.sockets[0].getsockname()[1]
    made = {
        "Redis()": lambda: Redis(host="127.0.0.1", port=at),
        "from_url": lambda: Redis.from_url(f"redis://127.0.0.1:{at}"),
    }
    cases = [("Redis()", 1, "*"), ("Redis()", 1, "7-0"), ("Redis()", ALWAYS, "*"), ("from_url", 1, "*")]
    found = []
    for number, (how, lose, entry_id) in enumerate(cases):
        client, key = made[how](), f"stream-{number}"
        relay.lose = lose
        try:
            said = type(await client.xadd(key, {"n": 1}, id=entry_id)).__name__
        except Exception as error:
            said = type(error).__name__
        await client.aclose()
        found.append((said, await direct.xlen(key)))
        print(f"{how:<9} lost: {lose:>3}  id {entry_id:<4} -> {said}, {found[-1][1]} entries")
    await direct.aclose()
    server.close()
    return found


port = free_port()
command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", sys.argv[1]]
redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
try:
    found = asyncio.run(main(port))
finally:
    redis.terminate()
    redis.wait()
expected = [("bytes", 2), ("ResponseError", 1), ("ConnectionError", 11), ("ConnectionError", 1)]
sys.exit(0 if found == expected else 1)
PYTHON
