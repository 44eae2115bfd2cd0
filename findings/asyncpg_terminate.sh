#!/bin/bash
# asyncpg 0.32.0: a query whose connection is ended by `Connection.terminate()` may raise AttributeError.
#
# A program that ends a connection whose server is silent for too long has to catch what the query under way
# raises. Mostly this is one of the library's errors. Where the answer to the first of the query's two steps
# and the end of the connection come in one round of a busy event loop, it is Python's own:
#
#   ended while nothing was answered -> asyncpg.ConnectionDoesNotExistError
#   ended in a round with an answer  -> AttributeError: 'NoneType' object has no attribute 'bind_execute'
#
# so that `except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)` does not see it. Exit code 0 while
# this is so. Needs PostgreSQL's programs (in PATH or /usr/lib/postgresql) and Python 3.11 or newer.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "asyncpg==0.32.0"

FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

FOLDER = Path(os.environ["FOLDER"])
DATA = FOLDER / "data"
NOBODY = {"user": 65534, "group": 65534} if os.getuid() == 0 else {}


def program(name):
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1] if installed else shutil.which(name) or sys.exit(f"{name} is missing"))


def run(name, *arguments):
    command = [program(name), "-D", str(DATA), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=FOLDER, **NOBODY)


async def ended(port, seconds, busy):
    """What a query raises whose connection is ended after so long, in a loop that is busy for so long."""
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="tests", database="postgres")
    asyncio.get_running_loop().call_later(seconds, connection.terminate)
    query = asyncio.create_task(connection.fetch("SELECT 1 FROM pg_sleep(1)"))
    await asyncio.sleep(0)
    time.sleep(busy)
    try:
        await query
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return error
    return None


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
DATA.mkdir()
if NOBODY:
    os.chown(DATA, 65534, 65534)
run("initdb", "-U", "tests", "-A", "trust", "--no-sync")
options = f"-p {port} -h 127.0.0.1 -k ''"
run("pg_ctl", "start", "-w", "-o", options, "-l", str(DATA / "log"))
try:
    while_silent = asyncio.run(ended(port, 0.3, 0.0))
    in_one_round = asyncio.run(ended(port, 0.2, 0.6))
finally:
    run("pg_ctl", "stop", "-w", "-m", "immediate")
so = isinstance(while_silent, asyncpg.ConnectionDoesNotExistError)
sys.exit(0 if so and isinstance(in_one_round, AttributeError) else 1)
PYTHON
