"""The embedded journey-log in a process of its own, for nodes that share one.

    python -m app.standins.journey_log FILE [--host 127.0.0.1] [--port 8090]

It has no authentication: whoever reaches the port reads and writes every character.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import uvicorn

from .service import EmbeddedJourneyLog


def main() -> None:
    parser = argparse.ArgumentParser(prog="journey_log", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="SQLite file; created where it is missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    options = parser.parse_args()
    embedded = EmbeddedJourneyLog(options.file)
    embedded.open()
    with closing(embedded):
        uvicorn.run(
            embedded.app, host=options.host, port=options.port, lifespan="off", access_log=False
        )


if __name__ == "__main__":
    main()
